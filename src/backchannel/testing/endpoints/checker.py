"""Which rules of an API a request breaks, without a server."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, cast

from agents.exceptions import UserError
from agents.models.chatcmpl_converter import Converter
from agents.models.fake_id import FAKE_RESPONSES_ID

from backchannel.testing.endpoints.chat_call_rules import CALL_RULES
from backchannel.testing.endpoints.chat_content_rules import CONTENT_RULES
from backchannel.testing.endpoints.chat_parameter_rules import PARAMETER_RULES
from backchannel.testing.endpoints.chat_view import Chat
from backchannel.testing.endpoints.responses_checks import Input
from backchannel.testing.endpoints.responses_rules import RESPONSES_RULES
from backchannel.testing.endpoints.rules import APIS, Api, Json, Profile, Rule, Violation, violation

RULES: tuple[Rule, ...] = (*CALL_RULES, *CONTENT_RULES, *PARAMETER_RULES, *RESPONSES_RULES)
"""All rules of all profiles, in the order in which they are checked."""

_BY_API: Mapping[Api, tuple[Rule, ...]] = {
    "chat": (*CALL_RULES, *CONTENT_RULES, *PARAMETER_RULES),
    "responses": RESPONSES_RULES,
}


def violations(profile: Profile, body: Mapping[str, Any], *, ignore: Collection[str] = ()) -> list[Violation]:
    """Why an API would refuse a request; empty if it would take it.

    Args:
        profile: The API. `"strictest"` has the rules of all.
        body: The parsed JSON body: with `input` a request of the Responses API, else one of Chat Completions.
            It may be malformed in any way, and is not changed.
        ignore: The names of rules that are not checked, such as `"call_id_format"`.

    Returns:
        The violations in the order of `RULES`. A real API reports the first that it finds, in an order of its own.

    Raises:
        ValueError: There is no such profile, or it does not serve the API of the request.
    """
    if profile not in APIS:
        raise ValueError(f"no profile {profile!r}; there are: {', '.join(APIS)}")
    api: Api = "responses" if "input" in body and "messages" not in body else "chat"
    if api not in APIS[profile]:
        raise ValueError(f"the profile {profile!r} does not serve the API of this request ({api})")
    given = cast("Json", body)
    view = Chat(given) if api == "chat" else Input(given)
    found: list[Violation] = []
    for rule in _BY_API[api]:
        wording = rule.wording(profile)
        if wording and rule.id not in ignore:
            found += [violation(rule.id, wording, each) for each in rule.check(view)]
    return found


def violations_of_input(
    items: str | Iterable[Any], profile: Profile, *, model: str = "", ignore: Collection[str] = ()
) -> list[Violation]:
    """Why an API would refuse the input items of a model, as the Agents SDK sends them.

    For Chat Completions the SDK's own converter makes messages of the items. The Responses API gets the items
    without what the SDK removes: `provider_data`, reasoning of other providers, and its placeholder ids.
    `"azure"` and `"strictest"` check both.

    Args:
        items: The input items; a text is one message of the user.
        profile: The API.
        model: The model's name, on which some rules depend: Gemini 3, DeepSeek.
        ignore: The names of rules that are not checked.

    Returns:
        The violations; one of the rule `not_convertible` if the SDK cannot convert the items.

    Raises:
        ValueError: There is no such profile.
    """
    if profile not in APIS:
        raise ValueError(f"no profile {profile!r}; there are: {', '.join(APIS)}")
    given = items if isinstance(items, str) else list(items)
    found: list[Violation] = []
    if "responses" in APIS[profile]:
        found += violations(profile, {"model": model, "input": _as_sent(given)}, ignore=ignore)
    if "chat" in APIS[profile]:
        try:
            messages = Converter.items_to_messages(given, model=model or None, preserve_thinking_blocks=True)
        except (UserError, KeyError, TypeError) as error:
            return [*found, Violation("not_convertible", str(error), "openai-agents: chatcmpl_converter")]
        found += violations(profile, {"model": model, "messages": messages}, ignore=ignore)
    return found


def _as_sent(items: str | list[Any]) -> str | list[Json]:
    if isinstance(items, str):
        return items
    sent: list[Json] = []
    for item in items:
        if item.get("type") == "reasoning" and item.get("provider_data"):
            continue
        hidden = {"provider_data"} | ({"id"} if item.get("id") == FAKE_RESPONSES_ID else set[str]())
        sent.append({name: value for name, value in item.items() if name not in hidden})
    return sent
