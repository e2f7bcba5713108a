"""Who is asking, from whatever context a host hands in."""

from dataclasses import FrozenInstanceError, dataclass

import pytest

from backchannel.context import Identity, RequestContext, Usage, identity_of
from backchannel.errors import InsufficientScopeError

pytestmark = pytest.mark.row("D5")


@dataclass
class HostContext:
    user_id: object
    tenant_id: object = None


def test_identity_of_a_request_context_and_of_an_identity():
    ann = Identity("ann", tenant="acme", scopes=frozenset({"admin"}), name="Ann")
    assert identity_of(RequestContext(ann)) is ann
    assert identity_of(ann) is ann


def test_identity_of_a_hosts_own_context():
    assert identity_of(HostContext("ann")) == Identity("ann", tenant="default")
    assert identity_of(HostContext("ann", "acme")) == Identity("ann", tenant="acme")
    assert identity_of(HostContext("ann", 7)) == Identity("ann", tenant="default")


@pytest.mark.parametrize(
    "context", [None, {}, {"user_id": "ann"}, "ann", 7, HostContext(None), HostContext(7)]
)
def test_a_context_that_says_nothing_of_who_asks_is_refused(context: object):
    with pytest.raises(TypeError, match="user_id"):
        identity_of(context)


@pytest.mark.parametrize("bad", ["", "x" * 256, "a\x00b", "\x00"])
def test_limits_of_user_and_tenant(bad: str):
    with pytest.raises(ValueError, match="user must have 1 to 255 characters and no NUL"):
        Identity(bad)
    with pytest.raises(ValueError, match="tenant must have 1 to 255 characters and no NUL"):
        Identity("ann", tenant=bad)
    with pytest.raises(ValueError, match="user"):
        identity_of(HostContext(bad))


@pytest.mark.parametrize("good", ["x", "x" * 255, "ann@example.com", "日本", "a b"])
def test_ids_within_the_limits_are_kept_as_they_are(good: str):
    assert Identity(good, tenant=good).user == good
    assert Identity(good, tenant=good).tenant == good


def test_nobody_can_become_somebody_else():
    identity = Identity("ann")
    context = RequestContext(identity)
    with pytest.raises(FrozenInstanceError):
        identity.user = "eve"  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(FrozenInstanceError):
        context.identity = Identity("eve")  # pyright: ignore[reportAttributeAccessIssue]


def test_a_runs_context_is_the_requests_with_a_meter_of_its_own():
    request = RequestContext(Identity("ann"), request_id="req_1", locale="de", base_url="https://chat")
    first = request.for_run("run_1", {"page": "/home"})
    second = request.for_run("run_2", {})
    first.usage.add(2, 10, 5)
    first.usage.add(1, 1, 1)
    assert (first.run_id, first.metadata) == ("run_1", {"page": "/home"})
    assert (first.request_id, first.locale, first.base_url) == ("req_1", "de", "https://chat")
    assert first.user_id == "ann"
    assert first.usage == Usage(3, 11, 6)
    assert second.usage == request.usage == Usage()
    assert request.run_id is None


def test_half_a_surrogate_pair_is_no_identity():
    """A signed token can carry one, and no database can keep it."""
    for values in ({"user": "\ud800"}, {"user": "ann", "tenant": "\udfff"}):
        with pytest.raises(ValueError, match="identity"):
            Identity(**values)


@pytest.mark.row("D5b")
def test_by_default_a_caller_may_everything_but_what_operators_may():
    ann = Identity("ann")
    assert ann.may("chat")
    assert ann.may("reports")
    assert not ann.may("admin")
    ann.require("chat")
    with pytest.raises(InsufficientScopeError) as refused:
        ann.require("admin")
    assert refused.value.scope == "admin"


@pytest.mark.row("D5b")
def test_a_caller_with_scopes_has_no_others():
    ann = Identity("ann", scopes=frozenset({"admin", "reports"}))
    assert [scope for scope in ("admin", "reports", "chat", "*", "") if ann.may(scope)] == [
        "admin",
        "reports",
    ]
    assert not Identity("ann", scopes=frozenset()).may("chat")
    assert Identity("ann", scopes=frozenset({"*", "admin"})).may("admin")
