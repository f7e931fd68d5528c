"""HL7 v2 messages of an invented hospital, for tests: one example per trigger, and parts to vary."""

from __future__ import annotations


def segment(name: str, fields: dict[int, str]) -> str:
    """Return a segment of its fields by number."""
    return "|".join([name, *(fields.get(number, "") for number in range(1, max(fields) + 1))])


HEAD = "MSH|^~\\&|HIS|H02|HIE|REGION|{at}||{kind}|{control}|P|2.5|||{accept}|{answer}|CHN|{charset}"
PID = (
    "PID|1||P0001^^^H02^MR~11010519491231002X^^^&2.16.156.10011.1.3&ISO^NI~YB778899^^^YB^SN||"
    "欧阳^晓燕^^^^^L^I~OUYANG^XIAOYAN^^^^^L^A||19491231|F|||文昌路1号^^昆明市^云南省^650000^CHN^H^^五华区||"
    "13912345678^PRN^CP||zh|20^已婚||AC77||||01^汉族^GB3304|||||CHN"
)
NK1 = "NK1|1|欧阳^明|CHD^子女^GB4761||13812340000"
PV1 = (
    "PV1|1|I|内科^101^12^H02|R|||D007^李医生|D008^王医生||0301^心内科^L||||1||||NOR|V2026001^^^H02^VN"
    "|||||||||||||||||1||||||||20260401083000+0800"
)
AL1 = "AL1|1|DA|PCN^青霉素^L|SV|皮疹"
DG1 = "DG1|1||I10.x00^原发性高血压^I10||20260401090000|F|||||||||1|D007^李医生"
IN1 = segment(
    "IN1",
    {1: "1", 2: "EMP^职工医保^L", 3: "530000^^^YB", 4: "省医疗保障局", 12: "20260101", 13: "20261231"}
    | {15: "职工", 17: "SEL", 36: "YB778899"},
)
PR1 = "PR1|1||47.0900^阑尾切除术^ICD9CM3||20260402093000"
VITAL = "OBX|1|NM|8302-2^身高^LN||172|cm|||||F|||20260401083500"
ORC = "ORC|NW|ORD55|||IP||||20260401091000|||D007^李医生"
OBR = segment(
    "OBR",
    {1: "1", 2: "ORD55", 3: "LIS900", 4: "CBC^血常规^L", 7: "20260401091500", 22: "20260401101500"}
    | {24: "LAB", 25: "F"},
)
OBX = "OBX|1|NM|WBC^白细胞^L^6690-2^Leukocytes^LN|1|12.50|10*9/L|3.5-9.5|H|||F|||20260401091500"
SPM = "SPM|1|S778||BLD^血液^HL70487|||||||||||||20260401091200"
RXE = segment(
    "RXE",
    {1: "1^BID^D7", 2: "A01^阿莫西林胶囊^L", 3: "0.50", 5: "g", 7: "^饭后", 10: "2", 11: "盒", 12: "0"}
    | {15: "RX66"},
)
RXR = "RXR|PO^口服^HL70162"
RXA = "RXA|0|1|20260401120000|20260401120500|A01^阿莫西林胶囊^L|0.5|g|||N01^赵护士||||||||||CP"
RXD = "RXD|1|A01^阿莫西林胶囊^L|20260401113000|2|盒||RX66|||N02^钱药师"
VACCINE = "RXA|0|1|20260401120000||08^乙肝疫苗^CVX|0.5|mL||00|N01^赵护士|||||B2201|20280101|SZKT^康泰||||CP"
FT1 = "FT1|1|F9001||20260401093000|20260401|CG|LABCBC^血常规^L|||1|25.00&CNY|25.00&CNY|0301^心内科^L"
SCH = (
    "SCH|AP77|AP77||||BOOK^预约^L|CHECKUP^复诊^L|Normal^普通^HL70276|30|min|^^^20260410090000+0800"
    "||||||||||||||Booked"
)
AIL = "AIL|1|A|心内科门诊^^^H02"
TXA = "TXA|1|DS^出院小结^HL70270|TX|20260405100000||20260405100500|||D007^李医生|||DOC88|DOC77||||AU||AV"
TEXT = "OBX|1|TX|18842-5^出院小结^LN||住院经过：\\.br\\病情好转。||||||F"
RF1 = "RF1|A|R^常规|SPEC^专科会诊||GP|REF55|20260401100000||20260401|HTN^血压控制不佳"
PRB = "PRB|AD|20260401|I10.x00^原发性高血压^I10|PRB9|||20260401|||||||ACTIVE"
MRG = "MRG|P0000^^^H02^MR"
IAM = "IAM|1|DA|PCN^青霉素^L|SV|皮疹|A"

_VISIT = (PID, NK1, PV1)
_FULL = (*_VISIT, VITAL, AL1, DG1, PR1, IN1)
_ORDER = (PID, PV1, IN1, AL1, ORC, OBR, DG1, OBX, SPM, FT1)
_DRUG_ORDER = (PID, PV1, IN1, AL1, ORC.replace("ORD55", "RX66"), RXE, RXR, DG1, OBX, FT1)
_RESULT = (PID, PV1, ORC.replace("NW", "RE"), OBR, OBX, SPM)
_ACCOUNT = (PID, PV1, DG1, PR1, IN1, VITAL)
_GIVEN = (PID, PV1, ORC, RXA, RXR, OBX)

# message type or trigger -> the segments of an example; a trigger wins over its type
BODIES: dict[str, tuple[str, ...]] = {
    "ADT": _FULL,
    "ADT^A29": (PID,),
    **{f"ADT^{event}": (PID, MRG) for event in ("A30", "A34", "A36", "A39", "A40", "A46", "A47")},
    "ADT^A60": (PID, PV1, IAM),
    "ORU": _RESULT,
    "OUL": _RESULT,
    "ORM": (*_ORDER, ORC.replace("ORD55", "RX66"), RXE, RXR),
    "OML": _ORDER,
    "OMG": _ORDER,
    "OMI": _ORDER,
    "OMP": _DRUG_ORDER,
    "RDE": _DRUG_ORDER,
    "RDS": (PID, PV1, ORC, RXD, RXR),
    "RAS": _GIVEN,
    "VXU": (PID, PV1, IN1, ORC, VACCINE, RXR, OBX),
    "SIU": (SCH, PID, PV1, DG1, AIL),
    "DFT": (*_ACCOUNT, FT1),
    "BAR": (*_ACCOUNT, AL1),
    "MDM": (PID, PV1, TXA, TEXT),
    "REF": (RF1, PID, PV1, DG1, AL1, PR1, IN1, VITAL),
    "PPR": (PID, PV1, PRB, OBX),
}


def build(
    kind: str,
    *segments: str,
    at: str = "20260401103000+0800",
    control: str = "C1",
    charset: str = "UNICODE UTF-8",
    codec: str = "utf-8",
    version: str = "2.5",
    accept: str = "",
    answer: str = "",
) -> bytes:
    """Return a message of a kind with the segments given after MSH and EVN."""
    event = kind.partition("^")[2].partition("^")[0]
    head = HEAD.format(at=at, kind=kind, control=control, charset=charset, accept=accept, answer=answer)
    head = head.replace("|P|2.5|", f"|P|{version}|")
    lines = [head, f"EVN|{event}|{at}", *segments]
    return ("\r".join(lines) + "\r").encode(codec)


def example(kind: str, **header: str) -> bytes:
    """Return the example message of a trigger."""
    return build(kind, *BODIES.get(kind, BODIES[kind.partition("^")[0]]), **header)


def laboratory(items: int, **header: str) -> bytes:
    """Return an ORU^R01 with that many numeric results."""
    rows = [
        f"OBX|{n}|NM|T{n}^项目{n}^L||{n}.50|mmol/L|3.9-6.1|N|||F|||20260401091500"
        for n in range(1, items + 1)
    ]
    return build("ORU^R01", PID, PV1, ORC.replace("NW", "RE"), OBR, *rows, **header)
