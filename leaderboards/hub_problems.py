"""What goes wrong with the Hub, in sentences: token, rights, conflicts, a server or a network away."""

from __future__ import annotations

from json import JSONDecodeError

from benchmark.errors import HubProblem
from leaderboards.hub_changes import Target
from leaderboards.safe_text import shortened

_WORDS: dict[int | None, tuple[str, str]] = {
    401: (
        "the Hub does not accept the token: it is wrong or has expired",
        "make a new one with write access (hf auth login, or HF_TOKEN), then run the same command again",
    ),
    403: (
        "the token may not write here",
        "use a token with write access to this organisation, then run the same command again",
    ),
    404: (
        "there is no such repository, or the token may not see it",
        "check the name and the token, then run the same command again",
    ),
}


def conflict(target: Target, found: str) -> HubProblem:
    return HubProblem(
        "somebody else changed the repository meanwhile; nothing was written to it",
        where=target.address,
        found=found,
        fix="see what is different with --dry-run, then run the same command again",
    )


def status_of(error: BaseException | None) -> int | None:
    """The status of the answer behind an error; uploads of large files wrap theirs."""
    while error is not None:
        response = getattr(error, "response", None)
        if response is not None:
            return int(response.status_code)
        error = error.__cause__
    return None


def passes(error: Exception) -> bool:
    """Whether the same request may succeed a little later: too many of them, or a server that is down.

    The client reads the answer about a card before its status, so an error page shows as JSON that is none.
    """
    status = status_of(error)
    return isinstance(error, JSONDecodeError) or (status is not None and (status == 429 or status >= 500))


def _is_network(error: BaseException | None) -> bool:
    """Whether no answer came; the client's HTTP library has had several names, its classes have not."""
    while error is not None:
        if isinstance(error, ConnectionError) or "TransportError" in {
            one.__name__ for one in type(error).__mro__
        }:
            return True
        error = error.__cause__
    return False


def hub_problem(target: Target, error: Exception, tries: int, token: str | None) -> HubProblem:
    """The sentence for an error of the client, without the token in it.

    Args:
        tries: how often the request was made, where it could have been made in vain.
    """
    wraps = error.__cause__ is not None and getattr(error, "response", None) is None
    chain = (error, error.__cause__) if wraps else (error,)
    text = "; ".join(f"{type(one).__name__}: {' '.join(str(one).split())}" for one in chain)
    found = shortened(text.replace(token, "[token]") if token else text, 300)
    status = status_of(error)
    if status in (409, 412):
        return conflict(target, found)
    what, fix = _WORDS.get(status, ("the Hub refuses", "mend what it says, then run the same command again"))
    if status is None and _is_network(error):
        what, fix = "the Hub cannot be reached", "check the network, then run the same command again"
    elif passes(error):
        what = f"the Hub does not answer now; asked {tries} times"
        fix = "run the same command again later: what arrived is not sent twice"
    return HubProblem(what, where=target.address, found=found, fix=fix)
