"""The people of the province: invented families, eight neighbours at a time, each block from its own seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random

from deploy.sample import ids, names
from deploy.sample.clinic.diseases import ALLERGENS, CHRONIC

# how eight neighbours divide into families
_DIVISIONS = (
    (3, 2, 2, 1),
    (4, 2, 1, 1),
    (3, 3, 2),
    (5, 2, 1),
    (2, 2, 2, 2),
    (4, 3, 1),
    (3, 2, 1, 1, 1),
)

_STREETS = [
    "人民路",
    "解放街",
    "建设路",
    "文化巷",
    "青年路",
    "环城东路",
    "学府路",
    "和平街",
    "滨河路",
    "新华街",
    "翠湖路",
    "茶园村",
]
_TOWNS = [
    "云岭市盘龙湖区",
    "云岭市西坝区",
    "洱河市龙川区",
    "玉屏县",
    "青石县",
    "江川口镇",
    "南桥县",
    "北城区",
]
_ESTATES = ["翠苑", "锦绣花园", "阳光小区", "桃源里", "金色家园", "枫林苑", "世纪城", "湖畔居"]


@dataclass(slots=True)
class Illness:
    """A chronic disease of a person: its key in CHRONIC and since when."""

    key: str
    since: date


@dataclass(slots=True)
class Person:
    """One invented human."""

    number: int
    name: names.Name
    sex: str  # GB/T 2261.1: 1, 2
    born: date
    id_type: str
    id_no: str
    phone: str
    address: str
    marital: str  # GB/T 2261.2: 10 unmarried, 20 married, 30 widowed
    nationality: str
    insurance: str  # employee | resident | public | cadre | self
    beneficiary: bool
    low_income: bool
    contact: tuple[str, str, str]  # name, relation (code set relation), phone
    illnesses: list[Illness] = field(default_factory=list)
    allergies: list[str] = field(default_factory=list)  # keys of ALLERGENS
    guardian_id: str = ""

    def age(self, on: date) -> int:
        """Return the age in whole years on a day."""
        return on.year - self.born.year - ((on.month, on.day) < (self.born.month, self.born.day))


def block(seed: int, number: int, today: date) -> list[Person]:
    """Return the eight neighbours of one block; the same for the same seed, whatever else is made."""
    rng = Random(f"{seed}:block:{number}")
    first = number * ids.BLOCK
    people: list[Person] = []
    for size in rng.choice(_DIVISIONS):
        people += _family(rng, first + len(people), size, today)
    return people


def _family(rng: Random, first: int, size: int, today: date) -> list[Person]:
    """Return one family: single, couple, couple with children, three generations."""
    family_phone = ids.phone(first * 3)
    town = _TOWNS[(first // ids.BLOCK) % len(_TOWNS)]
    house = f"{rng.choice(_ESTATES)}{rng.randint(1, 28)}幢{rng.randint(1, 4)}单元"
    flat = f"{rng.randint(1, 30)}0{rng.randint(1, 4)}室"
    address = f"{town}{rng.choice(_STREETS)}{rng.randint(1, 320)}号{house}{flat}"
    father_name = names.surname(rng)
    minority = rng.random() < 0.06
    child_age = rng.choice((0, 0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 17))
    head_age = {1: rng.randint(19, 92), 2: rng.randint(24, 88)}.get(size, child_age + rng.randint(22, 36))
    roles: list[tuple[str, str, int]] = [("head", "1" if rng.random() < 0.6 or size > 1 else "2", head_age)]
    if size > 1:
        roles.append(("spouse", "2", max(19, head_age + rng.randint(-5, 3))))
    if size > 2:
        child = rng.choice("12")
        roles.append(("child", child, child_age))
    if size > 3:
        twin = rng.random() < 0.15
        age = child_age if twin else child_age + rng.choice((2, 3, 5))
        if age > head_age - 18:
            age, twin = child_age, True
        roles.append(("twin" if twin else "child", rng.choice("12"), age))
    if size > 4:
        roles.append(("grandparent", "2", min(96, head_age + rng.randint(22, 32))))

    people: list[Person] = []
    twin_born: date | None = None
    for offset, (role, sex, age) in enumerate(roles):
        number = first + offset
        born = today - timedelta(days=int(age * 365.25) + rng.randint(0, 364))
        born = ids.fit_birth_date(number, born)
        if role == "twin" and twin_born:
            born = twin_born
        elif role == "child":
            twin_born = born
        people.append(
            _person(rng, number, role, sex, born, father_name, minority, family_phone, address, today)
        )
    _connect(people, [r for r, _, _ in roles], family_phone)
    return people


def _person(
    rng: Random,
    number: int,
    role: str,
    sex: str,
    born: date,
    family: tuple[str, str],
    minority: bool,
    family_phone: str,
    address: str,
    today: date,
) -> Person:
    nationality, age = "CHN", (today - born).days / 365.25
    surname = family if role not in ("spouse", "grandparent") else names.surname(rng)
    name = names.minority_name(rng, sex) if minority else names.han_name(rng, surname, sex)
    id_type, id_no = "resident_id", ids.resident_id(number, born, sex)
    draw = rng.random()
    if role == "head" and not minority and draw < 0.006:
        name, sex, nationality = names.foreign_name(rng)
        foreigner = rng.random() < 0.5
        id_type = "foreign_pr" if foreigner else "passport"
        id_no = ids.foreign_pr(number, born, sex) if foreigner else ids.passport(number)
    elif role == "head" and not minority and draw < 0.014:
        name = names.traditional(name)
        id_type, id_no = "permit_hmt", ids.permit_hmt(number, born, sex)
    elif age < 0.6:
        id_type, id_no = "birth_certificate", ids.birth_certificate(number)
    own_phone = family_phone if age < 14 or age > 78 else ids.phone(number * 3 + 1)
    insurance = _insurance(rng, age, nationality)
    person = Person(
        number=number,
        name=name,
        sex=sex,
        born=born,
        id_type=id_type,
        id_no=id_no,
        phone=own_phone,
        address=address,
        marital="10" if age < 24 else "30" if role == "grandparent" or age > 84 else "20",
        nationality=nationality,
        insurance=insurance,
        beneficiary=insurance == "cadre" or (insurance == "public" and rng.random() < 0.35),
        low_income=insurance == "resident" and rng.random() < 0.05,
        contact=("", "other", ""),
    )
    _health(rng, person, age, today)
    return person


def _insurance(rng: Random, age: float, nationality: str) -> str:
    if nationality != "CHN":
        return "self"
    draw = rng.random()
    if age >= 75 and draw < 0.06:
        return "cadre"
    if age >= 22 and draw < 0.11:
        return "public"
    if age >= 22 and draw < 0.55:
        return "employee"
    return "self" if draw > 0.96 else "resident"


def _health(rng: Random, person: Person, age: float, today: date) -> None:
    """Give a person chronic diseases by age, and allergies."""
    for key, disease in CHRONIC.items():
        if disease.sex and disease.sex != person.sex:
            continue
        low, middle, high = disease.prevalence  # under 40, 40 to 64, 65 and over
        if rng.random() < (low if age < 40 else middle if age < 65 else high) and age >= disease.from_age:
            years = min(age - disease.from_age, rng.random() * 15)
            person.illnesses.append(Illness(key, today - timedelta(days=int(years * 365))))
    if rng.random() < 0.11:
        person.allergies = rng.sample(list(ALLERGENS), rng.choice((1, 1, 1, 2)))


def _connect(people: list[Person], roles: list[str], family_phone: str) -> None:
    """Write each one's next of kin, and the guardian's ID of the small children."""
    head = people[0]
    for person, role in zip(people, roles, strict=True):
        if role == "head":
            kin = people[1] if len(people) > 1 else None
            person.contact = (kin.name.text, "spouse", kin.phone) if kin else ("", "other", "")
        elif role == "spouse":
            person.contact = (head.name.text, "spouse", head.phone)
        elif role == "grandparent":
            person.contact = (head.name.text, "child", head.phone)
        else:
            person.contact = (head.name.text, "parent", head.phone or family_phone)
            person.guardian_id = head.id_no
