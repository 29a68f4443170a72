"""One worked example, as Markdown: python worked_example.py

envelope/FORMAT.md includes what this prints, and field.json holds the same two
envelopes as its first cases.
"""

import fieldcrypt_v1 as fc
from made_up import Sealed, field_case

EXAMPLE = Sealed(
    secret=bytes(range(32)),
    nonce=bytes(range(0xA0, 0xAC)),
    frame=fc.frame(fc.STRING, b"ada@example.com"),
    tenant="acme",
    class_="crm",
    module="Contacts",
    field="email",
    record="42",
)
INLINE = Sealed(**{**vars(EXAMPLE), "mode": fc.INLINE, "uri": b"file:///root.key", "wrapped": bytes(range(0xB0, 0xC0))})


def cases():
    yield field_case("worked example, by reference", EXAMPLE)
    yield field_case("worked example, inline", INLINE)


def lines(members: list[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in members)
    return "```text\n" + "".join(f"{name:<{width}}  {value}\n" for name, value in members) + "```"


def markdown() -> str:
    e, i = EXAMPLE, INLINE
    aad = fc.field_aad(e.kid, e.scope, e.module, e.field, e.record)
    shared = [
        ("secret", e.secret.hex()),
        ("scope", e.scope.hex()),
        ("keyID", e.kid.hex()),
        ("K_gcm", fc.gcm_key(e.secret, e.scope).hex()),
        ("AAD", aad.hex()),
        ("frame", e.frame.hex()),
        ("nonce", e.nonce.hex()),
    ]
    by_reference = [("envelope", e.envelope.hex()), ("text", fc.encode_text(e.envelope))]
    inline = [
        ("URI", i.uri.hex()),
        ("wrapped", i.wrapped.hex()),
        ("envelope", i.envelope.hex()),
        ("text", fc.encode_text(i.envelope)),
    ]
    return f"""\
Tenant `{e.tenant}`, class `{e.class_}`, module `{e.module}`, field `{e.field}`, bound to record `{e.record}`,
the string `{e.frame[1:].decode()}`. Byte strings in hexadecimal.

{lines(shared)}

By reference:

{lines(by_reference)}

Inline, with root key URI `{i.uri.decode()}` and {len(i.wrapped)} made-up bytes for the wrapped data key:

{lines(inline)}
"""


if __name__ == "__main__":
    print(markdown(), end="")
