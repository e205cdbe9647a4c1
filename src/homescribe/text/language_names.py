"""Names of Whisper's languages, and the code that a name or a locale stands for."""

from __future__ import annotations

import re

# Codes and names, in the order of whisper.tokenizer.LANGUAGES. A name has _ for a space.
_NAMES = (
    "en=english zh=chinese de=german es=spanish ru=russian ko=korean fr=french ja=japanese "
    "pt=portuguese tr=turkish pl=polish ca=catalan nl=dutch ar=arabic sv=swedish it=italian "
    "id=indonesian hi=hindi fi=finnish vi=vietnamese he=hebrew uk=ukrainian el=greek ms=malay "
    "cs=czech ro=romanian da=danish hu=hungarian ta=tamil no=norwegian th=thai ur=urdu "
    "hr=croatian bg=bulgarian lt=lithuanian la=latin mi=maori ml=malayalam cy=welsh sk=slovak "
    "te=telugu fa=persian lv=latvian bn=bengali sr=serbian az=azerbaijani sl=slovenian kn=kannada "
    "et=estonian mk=macedonian br=breton eu=basque is=icelandic hy=armenian ne=nepali "
    "mn=mongolian bs=bosnian kk=kazakh sq=albanian sw=swahili gl=galician mr=marathi pa=punjabi "
    "si=sinhala km=khmer sn=shona yo=yoruba so=somali af=afrikaans oc=occitan ka=georgian "
    "be=belarusian tg=tajik sd=sindhi gu=gujarati am=amharic yi=yiddish lo=lao uz=uzbek "
    "fo=faroese ht=haitian_creole ps=pashto tk=turkmen nn=nynorsk mt=maltese sa=sanskrit "
    "lb=luxembourgish my=myanmar bo=tibetan tl=tagalog mg=malagasy as=assamese tt=tatar "
    "haw=hawaiian ln=lingala ha=hausa ba=bashkir jw=javanese su=sundanese yue=cantonese"
)
# English name by Whisper's code: {"en": "english", ...}.
LANGUAGES = {
    code: name.replace("_", " ")
    for code, _, name in (pair.partition("=") for pair in _NAMES.split())
}
# Other names, as in whisper.tokenizer.TO_LANGUAGE_CODE.
ALIASES = {
    "burmese": "my",
    "castilian": "es",
    "flemish": "nl",
    "haitian": "ht",
    "letzeburgesch": "lb",
    "mandarin": "zh",
    "moldavian": "ro",
    "moldovan": "ro",
    "panjabi": "pa",
    "pushto": "ps",
    "sinhalese": "si",
    "valencian": "ca",
}
_CODES = (
    {name: code for code, name in LANGUAGES.items()}
    | ALIASES
    | {"nb": "no", "jv": "jw", "fil": "tl"}
)


def language_code(name: str) -> str:
    """Return Whisper's code of a language: of its code, English name or locale, in any case.

    "de", "German", "de_DE" and "de-AT.UTF-8" are all "de". A name that Whisper does not know is returned in
    lower case, because an engine of another package may know it.
    """
    name = " ".join(name.split()).lower()
    if code := _code(name):
        return code
    return _code(re.split(r"[-_.@]", name)[0]) or name


def _code(name: str) -> str | None:
    return name if name in LANGUAGES else _CODES.get(name)
