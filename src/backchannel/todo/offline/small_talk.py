"""Recognizes greetings, thanks, yes and no, and strips polite phrases around a request."""

import re

from backchannel.todo.offline.intents import Kind

_GREETING = re.compile(
    r"(?:hi+|hey+|hello+|hiya|howdy|yo|good (?:morning|afternoon|evening|day)|greetings|hello "
    r"there|hi there|hey there"
    r"|how are you(?: doing)?(?: today)?|how's it going|what's up|sup|nice to meet you|hello "
    r"world|anyone there|you there)"
    r"(?:[\s,]+(?:there|all|everyone|assistant|bot|friend|again|how are you(?: doing)?(?: today)?))*",
    re.IGNORECASE,
)
_THANKS = re.compile(
    r"(?:(?:ok(?:ay)?|great|perfect|nice|cool|super|awesome|alright|good|wonderful|excellent"
    r"|brilliant|got it|right|sure|fine)[\s,!.]*)*"
    r"(?:(?:many )?thanks?(?: you)?(?: (?:so|very) much| a lot| again| for (?:your|the|that"
    r"|all).*)?|thx|ty|cheers|much appreciated"
    r"|great|perfect|nice|cool|super|awesome|alright|good|wonderful|excellent|brilliant|got it"
    r"|well done|good (?:job|bot)|lol|haha+)",
    re.IGNORECASE,
)
_BYE = re.compile(
    r"(?:good ?bye|bye(?: bye)?|see (?:you|ya)(?: later| soon| tomorrow)?|good night|later|take "
    r"care|that's (?:all|it)(?: for now| for today)?"
    r"|i'm done(?: for (?:today|now))?|nothing(?: else)?)",
    re.IGNORECASE,
)
_CANCEL = re.compile(
    r"(?:no+|nope|nah|no thanks?(?: you)?|never ?mind|cancel(?: (?:that|it))?|forget (?:it|that"
    r"|about it)|stop|abort|leave it|don't|do not"
    r"|please don't|no don't|better not|rather not|neither|none(?: of (?:them|these|those))?|not "
    r"now|skip(?: it)?|wait|no wait|n)",
    re.IGNORECASE,
)
_YES = re.compile(
    r"(?:yes+|yep|yeah|yup|sure(?: thing)?|ok(?:ay)?|confirm(?:ed)?|do it|go ahead|please do|of "
    r"course|absolutely|definitely|correct|right|exactly"
    r"|that's right|affirmative|y|i'm sure|i am sure|yes i'm sure|👍|✅)(?:[\s,]+(?:please|do it"
    r"|do that|go ahead|sure|delete (?:them|it)|all of them|i'm sure|i am sure))*",
    re.IGNORECASE,
)
_UNDO = re.compile(
    r"(?:undo|revert|take (?:that|it) back)(?: (?:that|it|this|the last (?:one|change|step)))?", re.IGNORECASE
)
_TALK: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("greeting", _GREETING),
    ("cancel", _CANCEL),
    ("yes", _YES),
    ("thanks", _THANKS),
    ("bye", _BYE),
    ("undo", _UNDO),
)
_LEAD = re.compile(
    r"(?:(?:hey|hi|hello|good morning|good afternoon|good evening)(?: there)?|ok(?:ay)?|alright"
    r"|all right|right|well|so|then|also|please|pls|plz|just|actually"
    r"|oh|um+|uh+|wait|sorry|and|but|great|perfect|thanks|thank you|can you|can u|could you"
    r"|would you(?: mind)?|will you|can i|could i|may i"
    r"|i(?:'d| would) (?:like|love) (?:you )?to|i want (?:you )?to|i wanna|i need you to|you "
    r"should|let's|let me|go ahead and|help me(?: to| with)?"
    r"|quickly|kindly|maybe|yes|yeah|yep|sure|next|first|finally|no|hmm+|assistant|bot|for me|i "
    r"think|now)(?![\w'])[\s,!.:-]*",
    re.IGNORECASE,
)
_KEEP_LEAD = re.compile(
    r"(?:next|first|no|right|now|so|then|great|sure)(?![\w'])(?!\s*[,.!:])", re.IGNORECASE
)
_TRAIL = re.compile(
    r"[\s,]+(?:please|pls|plz|thanks|thank you|thx|for me|will you|would you|could you|if you can"
    r"|if possible|ok(?:ay)?|right)[\s.!?]*$",
    re.IGNORECASE,
)


def small_talk(text: str) -> Kind | None:
    """The kind of small talk if the whole text is small talk, else `None`."""
    bare = text.strip(" .,!?:;)(-").lower()
    return next((kind for kind, pattern in _TALK if pattern.fullmatch(bare)), None)


def without_courtesy(text: str) -> str:
    """The text without greetings and words such as `please` around it; may be empty."""
    text = text.strip()
    while (match := _LEAD.match(text)) and not _KEEP_LEAD.match(text):
        text = text[match.end() :]
    while match := _TRAIL.search(text):
        text = text[: match.start()]
    return text.strip()
