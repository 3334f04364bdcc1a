"""How names are written: whether they are one letter or a word, in LaTeX, and names that nobody uses yet."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator

from symbackprop.language.vocabulary import CONSTANTS, WORDS

MACRON = "\u0304"

_MARKS = "\u0300-\u036f"
_LETTER = re.compile(rf"[^\W\d_][{_MARKS}]*[₀-₉]*′*")
_WORD = re.compile(rf"[^\W\d][\w{_MARKS}]*′*\*?")
_LATEX_GREEK = {
    name: rf"\{name}"
    for name in (
        *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu"),
        *("xi", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega"),
        *("Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Phi", "Psi", "Omega"),
    )
}


def _letter(name: str) -> str:
    case = "CAPITAL" if name[0].isupper() else "SMALL"
    return unicodedata.lookup(f"GREEK {case} LETTER {name.upper().replace('LAMBDA', 'LAMDA')}")


_UNICODE_GREEK = {_letter(name): command for name, command in _LATEX_GREEK.items()}
_TAKEN = WORDS - {*CONSTANTS, "I", "inf"}  # what formulas write themselves; the rest yields to a symbol called so
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_ACCENTS = {
    "\u0300": r"\grave",
    "\u0301": r"\acute",
    "\u0302": r"\hat",
    "\u0303": r"\tilde",
    MACRON: r"\overline",
    "\u0306": r"\breve",
    "\u0307": r"\dot",
    "\u0308": r"\ddot",
    "\u030c": r"\check",
}
_ESCAPES = {"\\": r"\backslash ", " ": r"\ ", "^": r"\wedge ", "~": r"\sim ", "′": r"\prime "} | {
    character: f"\\{character}" for character in "{}$&#%_"
}
_VECTOR_LETTERS = "uvwpqrstabcdefghklmno"
_MATRIX_LETTERS = "UVWPQRSTABCEFGHKLMZ"


def bar(name: str) -> str:
    """Give the name of the error signal of a value: the name under a bar, its subscript left out.

    >>> bar("z"), bar("W2"), bar("L_reg")
    ('z̄', 'W̄2', 'L̄_reg')
    """
    letters = re.match(rf"([^\W\d_][{_MARKS}]*)+", name)
    if letters is None:
        return f"{name}{MACRON}"
    barred = re.sub(rf"[^\W\d_][{_MARKS}]*", rf"\g<0>{MACRON}", letters[0])
    return unicodedata.normalize("NFC", barred + name[letters.end() :])


def bars(names: Iterable[str]) -> dict[str, str]:
    """Give the name of each value's error signal, with more bars where that name is taken.

    >>> bars(["z", "h"])
    {'z': 'z̄', 'h': 'h̄'}
    """
    values = dict.fromkeys(names)
    used = set(values)
    found = {}
    for name in values:
        signal = bar(name)
        while signal in used:
            signal = bar(signal)
        used.add(signal)
        found[name] = signal
    return found


def _is_plain(name: str) -> bool:
    """Tell whether a name cannot be mistaken for notation: superscripts and ᵀ could."""
    return (
        bool(_WORD.fullmatch(name))
        and name not in _TAKEN
        and not any(
            unicodedata.category(character) in {"Lm", "No"} and character not in "₀₁₂₃₄₅₆₇₈₉" for character in name
        )
    )


def text_name(name: str) -> tuple[str, bool]:
    """Give a name as text, and whether it is one letter, which can touch its neighbours.

    A name that is no identifier stands between quotation marks.

    >>> text_name("x"), text_name("x̄₁"), text_name("W1"), text_name("my var$")
    (('x', True), ('x̄₁', True), ('W1', False), ('"my var$"', False))
    """
    if not _is_plain(name):
        inner = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in re.sub(r'(["\\])', r"\\\1", name))
        return f'"{inner}"', False
    return name, bool(_LETTER.fullmatch(name))


def latex_name(name: str) -> tuple[str, bool]:
    r"""Give a name in LaTeX, and whether it is one letter.

    Digits at the end and what follows an underscore become subscripts, names of Greek letters become the letters,
    and whatever is no identifier is escaped.

    >>> for name in ["x", "W1", "theta_1", "lr", "z̄", "my var$"]:
    ...     print(*latex_name(name))
    x True
    W_{1} True
    \theta_{1} True
    \mathrm{lr} False
    \overline{z} True
    \mathrm{my\ var\$} False
    """
    if not _is_plain(name):
        return _upright(name), False
    above = "*" * name.count("*") + r"\prime" * name.count("′")
    text, single = _subscripted(unicodedata.normalize("NFD", name.rstrip("′*")))
    return (f"{text}^{{{above}}}" if above else text), single


def _subscripted(core: str) -> tuple[str, bool]:
    parts = [part for part in core.translate(_SUBSCRIPTS).split("_") if part]
    match = re.fullmatch(r"(.*?\D)(\d+)", parts[0]) if parts else None
    if match:
        parts[:1] = [match[1], match[2]]
    if not parts or parts[0].isdigit():
        return _upright(core), False
    base, single = _letters(parts[0])
    below = ",".join(_letters(part)[0] for part in parts[1:])
    return (f"{base}_{{{below}}}" if below else base), single


def _letters(part: str) -> tuple[str, bool]:
    greek = _LATEX_GREEK.get(part) or _UNICODE_GREEK.get(part)
    if greek:
        return greek, True
    if any(unicodedata.category(character) == "Lo" for character in part):
        return _upright(part), len(part) == 1
    if part.isdigit() or len(part) == 1:
        return part, True
    plain = part.replace(MACRON, "")
    if part.count(MACRON) > 1 and unicodedata.normalize("NFC", part) == bar(plain):
        return rf"\overline{{{_letters(plain)[0]}}}", False
    letter = _accented(part)
    return (letter, True) if letter else (_upright(part), False)


def _accented(part: str) -> str | None:
    """Give one letter under accents, or None."""
    if not _LETTER.fullmatch(part) or not all(mark in _ACCENTS for mark in part[1:]):
        return None
    text = _UNICODE_GREEK.get(part[0], part[0])
    for mark in part[1:]:
        text = f"{_ACCENTS[mark]}{{{text}}}"
    return text


def _upright(text: str) -> str:
    """Give a word in upright letters; scripts without capitals have no letters for mathematics."""
    command = "text" if any(unicodedata.category(character) == "Lo" for character in text) else "mathrm"
    return rf"\{command}{{{_escaped(text)}}}"


def _escaped(text: str) -> str:
    return "".join(_ESCAPES.get(character, character) if character.isprintable() else " " for character in text)


def fresh_names(taken: Iterable[str], *, matrix: bool = False) -> Iterator[str]:
    """Give names that nobody uses: letters, then letters with numbers; capitals for matrices.

    >>> list(itertools.islice(fresh_names({"u", "w"}), 3))
    ['v', 'p', 'q']
    """
    used = set(taken)
    letters = _MATRIX_LETTERS if matrix else _VECTOR_LETTERS
    numbered = (f"{letters[0]}{number}" for number in itertools.count(1))
    return (name for name in itertools.chain(letters, numbered) if name not in used)


def can_be_split(names: Iterable[str]) -> bool:
    """Tell whether a word among the names reads like a row of the single letters among them.

    >>> can_be_split(["w", "x", "lr"]), can_be_split(["w", "x", "wx"])
    (False, True)
    """
    known = list(names)
    letters = {"I", *(name for name in known if _LETTER.fullmatch(name))}
    words = [*(name for name in known if name not in letters), *(word for word in WORDS if len(word) > 1)]
    return any(set(_LETTER.findall(word)) <= letters and "".join(_LETTER.findall(word)) == word for word in words)
