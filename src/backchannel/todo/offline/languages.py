"""Detects sentences that are not in English, and their language."""

import re
import unicodedata

_WORDS: dict[str, frozenset[str]] = {
    name: frozenset(words.split())
    for name, words in {
        "German": "ich du er sie wir ihr der das den dem ein eine einen einer und oder nicht "
        "kein keine ist sind war bin "
        "hast habe haben mir mich dir bitte auf für mit von zu zum zur im wie wann wo wer warum "
        "welche alle meine mein "
        "meinen aufgabe aufgaben liste zeige zeig lösche erledigt heute morgen übermorgen hinzu "
        "füge kannst hallo danke "
        "guten tag milch kaufen fällig steht noch was",
        "Spanish": "el la los las un una unos unas y o que qué de del en mi mis por para con sin "
        "está están es son soy tengo "
        "hoy mañana tarea tareas lista añade añadir agrega agregar borra borrar elimina eliminar "
        "muestra muéstrame mostrar "
        "comprar leche hola gracias cuál cuáles cómo cuándo dónde puedes hacer favor buenos "
        "buenas días completa todas todos",
        "French": "le les un une des et ou que qui de du en mon ma mes pour avec sans est sont "
        "je tu il elle nous vous ai "
        "j'ai aujourd'hui demain tâche tâches liste ajoute ajouter supprime supprimer montre "
        "montrer acheter lait bonjour "
        "merci quel quelle quelles quoi comment quand où peux pouvez faire s'il plaît moi toutes la",
        "Italian": "il lo la gli le un una e che di del della in mio mia miei per con senza è "
        "sono ho oggi domani attività "
        "lista aggiungi elimina mostra mostrami comprare latte ciao grazie quale come quando "
        "dove puoi fare favore cosa",
        "Portuguese": "o a os as um uma e que de do da em no na meu minha meus para com sem é "
        "são tenho hoje amanhã tarefa "
        "tarefas lista adicione adicionar remove apague mostre mostrar comprar leite olá "
        "obrigado obrigada qual como quando "
        "onde pode fazer favor leia",
        "Dutch": "ik jij hij zij wij het een en niet geen zijn heb hebben mij mijn voor met van "
        "naar hoe wanneer waar wie "
        "taak taken lijst toon verwijder voeg toe vandaag morgen kopen melk hallo dank bedankt "
        "kun alsjeblieft wat",
    }.items()
}
_ENGLISH_WORDS = (
    "the an and or not is are was be been my your it its this that these those to of for with on "
    "at by from all "
    "what what's when where who why how which show list add create delete remove find search "
    "mark set change move make rename complete "
    "done due todo todos task tasks priority today tomorrow week please can could you i i'm i've "
    "don't do does did have has me "
    "high low medium urgent monday tuesday wednesday thursday friday saturday sunday into about "
    "if there one ones second first "
    "buy call get everything as pm"
)
_ENGLISH = frozenset(_ENGLISH_WORDS.split())
_SCRIPTS = {
    "CJK": "Chinese", "HIRAGANA": "Japanese", "KATAKANA": "Japanese", "HANGUL": "Korean",
    "CYRILLIC": "Russian or Ukrainian", "ARABIC": "Arabic", "HEBREW": "Hebrew",
    "GREEK": "Greek", "THAI": "Thai", "DEVANAGARI": "Hindi",
}  # fmt: skip
_COMMAND = re.compile(
    r"^(?:please\s+)?(?:add|create|find|search|delete|remove|rename|mark|complete|show|list|remind me)\b",
    re.IGNORECASE,
)
_ADDING = re.compile(r"^(?:please\s+)?(?:add|create|remind me)\b", re.IGNORECASE)

LINES: dict[str, str] = {
    "German": "Ohne API-Schlüssel verstehe ich leider nur Englisch.",
    "Spanish": "Sin clave de API solo entiendo inglés, lo siento.",
    "French": "Sans clé d'API, je ne comprends malheureusement que l'anglais.",
    "Italian": "Senza una chiave API capisco purtroppo solo l'inglese.",
    "Portuguese": "Sem uma chave de API, infelizmente só entendo inglês.",
    "Dutch": "Zonder API-sleutel begrijp ik helaas alleen Engels.",
    "Chinese": "没有 API 密钥时，我只能理解英语，抱歉。",
    "Japanese": "API キーがないため、英語しか理解できません。申し訳ありません。",
    "Korean": "API 키가 없어 영어만 이해할 수 있습니다. 죄송합니다.",
    "Russian or Ukrainian": "Без ключа API я, к сожалению, понимаю только английский.",
}
"""What to say in a language that is not understood."""


def foreign_language(text: str) -> str | None:
    """The English name of the text's language, or `None` if it may be English.

    A request in English about a title in another language counts as English.
    """
    script = _script(text)
    if script is not None:
        return None if _COMMAND.match(text) else script
    if _ADDING.match(text):
        return None
    words = set(re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?", text.lower()))
    english = len(words & _ENGLISH)
    best, score = None, 0
    for name, known in _WORDS.items():
        hits = len((words & known) - (_ENGLISH & known))
        if hits > score:
            best, score = name, hits
    enough = score >= 2 or (score == 1 and len(words) <= 2 and not english and _telling(words, best))
    return best if enough and score > english else None


def _telling(words: set[str], language: str | None) -> bool:
    known = _WORDS[language] if language else frozenset[str]()
    return (
        any(len(word) >= 4 and word in known and word not in {"lista", "hallo"} for word in words)
        or "hallo" in words
    )


def _script(text: str) -> str | None:
    counts: dict[str, int] = {}
    letters = 0
    for character in text[:500]:
        if not character.isalpha():
            continue
        letters += 1
        name = unicodedata.name(character, "").split(" ", maxsplit=1)[0].split("-", maxsplit=1)[0]
        if name in _SCRIPTS:
            counts[_SCRIPTS[name]] = counts.get(_SCRIPTS[name], 0) + 1
    if letters == 0 or sum(counts.values()) * 2 < letters:
        return None
    if "Japanese" in counts:
        return "Japanese"
    return max(counts, key=lambda language: counts[language])
