package fakekms

import (
	"fmt"
	"net/http"
)

// An apiError is a refusal as it goes over the wire.
type apiError struct {
	code    string
	message string
	status  int
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

// refuse makes an error with the status that KMS gives it. KMS answers 400 to
// every refusal, whatever its meaning, and 500 where it has failed itself.
func refuse(code, format string, args ...any) *apiError {
	return &apiError{code: code, message: fmt.Sprintf(format, args...), status: statusOf(code)}
}

func statusOf(code string) int {
	switch code {
	case "KMSInternalException", "DependencyTimeoutException", "KeyUnavailableException", "InternalFailure":
		return http.StatusInternalServerError
	case "ServiceUnavailable", "ServiceUnavailableException":
		return http.StatusServiceUnavailable
	default:
		return http.StatusBadRequest
	}
}

func invalid(format string, args ...any) *apiError {
	return refuse("ValidationException", format, args...)
}

func notFound(format string, args ...any) *apiError {
	return refuse("NotFoundException", format, args...)
}
