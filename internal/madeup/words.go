package madeup

import "fmt"

// A script is what the names of a part of the contacts are written in.
type script struct {
	name  string
	first []string
	last  []string // the most frequent last names; the others are made of parts
	parts [2][]string
}

// How many contacts of a hundred have names in each of scripts.
var scriptShares = weighted(46, 9, 4, 8, 3, 8, 8, 5, 5, 4)

// lastNames has 4,000 ranks for each script.
var lastNames = zipf(4000, 3)

// lastName is the last name of a rank. Ranks beyond the list and the pairs of
// parts get a number of parts more, so that each is another name.
func (s *script) lastName(rank int) string {
	if rank < len(s.last) {
		return s.last[rank]
	}
	rank -= len(s.last)
	head, tail := s.parts[0], s.parts[1]
	name := head[rank%len(head)] + tail[rank/len(head)%len(tail)]
	for rank /= len(head) * len(tail); rank > 0; rank /= len(tail) {
		name += tail[rank%len(tail)]
	}
	return name
}

var scripts = []script{
	{
		"Latin",
		[]string{"Ada", "Zoë", "Jürgen", "François", "Søren", "Łucja", "Þóra", "Ñusta", "João", "Çağla", "Žofie", "Ágnes", "Mădălina", "Đình", "Kľúčik", "Eoghan", "Mia", "Noah", "O'Hara", "Åsa"},
		[]string{"Müller", "Example", "Nováková", "Dupré", "Ødegård", "Żółtek", "O’Sample", "Ibáñez", "Çelik", "Sørensen", "Nguyễn", "Tőkés", "Groß", "d'Exemple", "Meyer-Förster", "Šimek"},
		[2][]string{
			{"Ar", "Bel", "Cor", "Dun", "Ej", "Fjor", "Grü", "Hol", "Íl", "Jö", "Kal", "Lô", "Mar", "Nør", "Ob", "Pé", "Qui", "Rös", "Sç", "Tú", "Ul", "Våg", "Wie", "Ży", "Ost"},
			{"berg", "dottir", "escu", "ford", "götz", "ham", "inho", "jær", "ková", "lund", "mann", "nyi", "oğlu", "picz", "quist", "rède", "son", "tér", "uña", "vić", "worth", "yard", "zek"},
		},
	},
	{
		"Cyrillic",
		[]string{"Анна", "Борис", "Веселина", "Ганна", "Дмитрий", "Ёла", "Жанна", "Йосип", "Љубица", "Ґанна"},
		[]string{"Примеров", "Образцова", "Зразок", "Примерић", "Йорданова"},
		[2][]string{{"Бел", "Вор", "Гор", "Дуб", "Ёж", "Жар", "Зим", "Кал", "Лес", "Мор", "Нов", "Поль"}, {"ов", "ова", "енко", "ский", "ић", "ишин", "юк", "ёв", "ьчук", "ак"}},
	},
	{
		"Greek",
		[]string{"Άννα", "Βασίλης", "Γιώργος", "Ελένη", "Ιωάννης", "Ξένια", "Σίσυφος", "Ωρίων"},
		[]string{"Παράδειγμας", "Δείγμος", "Υποδειγματίδης"},
		[2][]string{{"Αγγελ", "Βασιλ", "Γεωργ", "Δημητρ", "Ηλι", "Θεοδωρ", "Καλ", "Νικολ", "Παπ", "Στεφ"}, {"όπουλος", "ίδης", "άκης", "έας", "ιάδης", "ούδης", "άτος", "ίνης"}},
	},
	{
		"Arabic",
		[]string{"محمد", "فاطمة", "أحمد", "لَيلى", "زينب", "عبد الله", "مريم", "یاسمین"},
		[]string{"المثال", "النموذجي", "العيّنة"},
		[2][]string{{"ال", "بن ", "أبو ", "عبد ال", "بو", "ذو ال"}, {"خطيب", "نجار", "حداد", "كريم", "رحيم", "صياد", "بحر", "جبل", "نور", "سلام", "قمر", "ورد"}},
	},
	{
		"Hebrew",
		[]string{"דוד", "מרים", "יעל", "נֹעַם", "רחל", "אורי"},
		[]string{"לדוגמה", "הדגמי"},
		[2][]string{{"בן־", "בר־", "אבי", "הר", "כץ ", "לב"}, {"גל", "ים", "שיר", "אור", "טוב", "דגן", "ארז", "נוי", "חן", "רון"}},
	},
	{
		"Devanagari",
		[]string{"राजेश", "प्रिया", "अनिल", "सुनीता", "ज़ोया", "विक्रम", "क्षमा", "ओम"},
		[]string{"उदाहरण", "नमूना", "कुमार"},
		[2][]string{{"राम", "शिव", "कृष्ण", "सूर्य", "चंद्र", "धर्म", "देव", "जय", "महा", "लक्ष्मी"}, {"पाल", "दास", "सिंह", "वर्मा", "राव", "नाथ", "कर", "वाल", "जी", "पुरे"}},
	},
	{
		"Han",
		[]string{"小明", "伟", "芳", "秀英", "建國", "麗華", "葛\U000E0100", "子涵"},
		[]string{"王", "李", "张", "劉", "陳", "楊", "趙", "黄"},
		[2][]string{{"欧", "司", "上", "東", "西", "南", "北", "端", "夏", "公"}, {"陽", "馬", "官", "方", "門", "宮", "郭", "木", "侯", "孫", "田", "山"}},
	},
	{
		"Kana",
		[]string{"さくら", "ハルト", "ﾕｲ", "みなと", "ヴィオレ", "きょうこ"},
		[]string{"サトウ", "すずき", "ﾀｶﾊｼ", "れいだい", "ミホン"},
		[2][]string{{"ヤマ", "カワ", "モリ", "いし", "うえ", "ｵｵ", "コ", "ニシ", "ひがし", "マツ"}, {"ダ", "ムラ", "シタ", "もと", "ざき", "ﾉ", "ハラ", "グチ", "バヤシ", "じま"}},
	},
	{
		"Hangul",
		[]string{"민준", "서연", "지우", "하은", "도윤", "예진"},
		[]string{"김", "이", "박", "최", "정", "강"},
		[2][]string{{"남", "황", "선", "제", "독", "사", "동", "망"}, {"궁", "보", "우", "갈", "고", "공", "방", "절", "성", "표"}},
	},
	{
		"Thai",
		[]string{"สมชาย", "สุดา", "กานต์", "น้ำฝน", "ปรีชา", "วิไล"},
		[]string{"ตัวอย่าง", "สมมติ"},
		[2][]string{{"ศรี", "วงศ์", "ทอง", "บุญ", "รัตน", "สุข", "พงษ์", "จันทร์"}, {"สวัสดิ์", "ชัย", "เจริญ", "ไพบูลย์", "มงคล", "วัฒนา", "สกุล", "ประเสริฐ", "กุล", "ทรัพย์"}},
	},
}

// cityRanks has 3,000 cities.
var cityRanks = zipf(3000, 0)

var (
	cityHeads = []string{"Muster", "Exampl", "Nová ", "São ", "Bad ", "Sankt ", "Al-", "Ny ", "Königs", "Val"}
	cityTails = []string{"stadt", "eton", "Vesnice", "Exemplo", "Probe", "Modell", "Mithal", "Køping", "hövel", "verde", "burg", "haven", "wick", "by", "grad"}
	quarters  = []string{"", " Nord", " Sud", " Est", " Ouest"}
)

func cityName(rank int) string {
	heads, tails := len(cityHeads), len(cityTails)
	name := cityHeads[rank%heads] + cityTails[rank/heads%tails] + quarters[rank/(heads*tails)%len(quarters)]
	if more := rank / (heads * tails * len(quarters)); more > 0 {
		name += fmt.Sprintf(" %d", more+1)
	}
	return name
}

// phones are patterns of 20 countries. Those that keep a range for fiction are
// US, CA, GB, IE, DE, FR, SE and AU; the
// others' subscriber numbers begin with zeros, as none does that is in use.
var phones = []struct{ country, pattern string }{
	{"US", "+1 202 555 01##"},
	{"CA", "+1 613 555 01##"},
	{"GB", "+44 20 7946 0###"},
	{"IE", "+353 20 91# ####"},
	{"DE", "+49 30 23125 ###"},
	{"FR", "+33 1 99 00 ## ##"},
	{"SE", "+46 70 1740 6##"},
	{"AU", "+61 2 5550 ####"},
	{"JP", "+81 3 0000 ####"},
	{"KR", "+82 2 0000 ####"},
	{"CN", "+86 10 0000 ####"},
	{"IN", "+91 11 0000 ####"},
	{"TH", "+66 2 000 ####"},
	{"IL", "+972 2 000 ####"},
	{"AE", "+971 4 000 ####"},
	{"GR", "+30 21 0000 ####"},
	{"UA", "+380 44 000 ####"},
	{"BR", "+55 11 0000 ####"},
	{"ES", "+34 000 00 ## ##"},
	{"PL", "+48 22 000 ## ##"},
}

var (
	mailWords     = []string{"ada", "example", "contact", "mueller", "jose", "li", "noor", "ivan", "eleni", "sakura", "minjun", "somchai", "raj", "miriam", "sales", "office", "a.b", "x-y", "o_o", "first+tag"}
	mailDomains   = []string{"example.com", "example.org", "example.net", "mail.example", "crm.example", "bücher.example", "例え.example", "xn--bcher-kva.example"}
	idPatterns    = []string{"000-##-####", "QQ ## ## ## A", "X#######?", "##0000-####", "##.###.###-?"}
	ibanCountries = []string{"DE", "FR", "NL", "ES", "AT", "PL", "GR", "SE"}
	noteForms     = []string{"Asked about %s.", "Prefers %s in the morning.", "Met at the fair for %s.", "Don't call about %s!", "Owes us an answer on %s."}
	noteWords     = []string{"invoices", "the renewal", "støtte", "la facture", "поставка", "納期", "a refund", "delivery", "the new office", "pricing"}
)
