"""What goes wrong with a hub, in one line each: the libraries' own errors are pages, or name no way out."""

from collections.abc import Iterator

import attrs

from stlm.spec.errors import StlmError, UsageError, WorkError
from stlm.spec.reasons import reason_of


@attrs.frozen
class Kind:
    """What a repository is to the user, under which path the hub shows it, and which key of the spec names it."""

    noun: str
    path: str
    key: str | None = None


DATA_SET = Kind("data set", "datasets/")
TOKENIZER = Kind("tokenizer", "", "tokenizer_name")


def told(error: BaseException, what: str, name: str, kind: Kind = DATA_SET) -> StlmError:
    """Make an error for a user of a library's; ``what`` begins its line where the work failed."""
    from huggingface_hub import constants, errors

    noun, key = kind.noun, kind.key

    chain = list(_chain(error))
    for each in chain:
        if isinstance(each, StlmError):
            return each
    said = " ".join(str(each) for each in chain)
    if any(isinstance(each, errors.GatedRepoError) for each in chain) or "is a gated dataset" in said:
        return gated(name, kind)
    for each in chain:
        if isinstance(each, errors.RevisionNotFoundError):
            return UsageError(f"{noun} `{name}` has no such revision on the hub", key="revision")
        if isinstance(each, errors.RepositoryNotFoundError):
            return UsageError(
                f"the hub has no {noun} `{name}`, or it is private and `hf auth login` was not done", key=key
            )
        if isinstance(each, errors.HFValidationError):
            return UsageError(f"`{name}` is no name of a {noun}: write `owner/name` ({_line(each)})", key=key)
        if isinstance(each, errors.OfflineModeIsEnabled):
            return WorkError(f"{what}: HF_HUB_OFFLINE forbids to download it")
    if "Dataset scripts are no longer supported" in said:
        return UsageError(f"data set `{name}` is only a loading script, and no code of the hub is run")
    if any(type(each).__name__ in ("EmptyDatasetError", "DataFilesNotFoundError") for each in chain):
        return UsageError(f"data set `{name}` holds no data files that can be read")
    if "Couldn't find any data file at" in said:
        said = "it or the card of the data set names files that are not there"
        return WorkError(f"{what}: the list of its files at {constants.ENDPOINT} is not usable: {said}")
    if "redirects" in said:
        return WorkError(f"{what}: {constants.ENDPOINT} sends from one address to the next, and never to an answer")
    for each in chain:
        response = getattr(each, "response", None)
        status = getattr(response, "status_code", None)
        if isinstance(each, errors.HfHubHTTPError) and status is not None:
            return WorkError(f"{what}: the hub answered with status {status}")
    kinds = {type(each).__name__ for each in chain}
    if any("Timeout" in kind for kind in kinds):
        return WorkError(f"{what}: the hub does not answer any more")
    if kinds & {"ConnectError", "RemoteProtocolError", "ReadError"}:
        return WorkError(f"{what}: the connection to the hub was lost")
    return WorkError(f"{what}: {_line(error)}")


def gated(name: str, kind: Kind = DATA_SET) -> WorkError:
    """Say that a repository is only for those who were let in."""
    from huggingface_hub import constants

    page = f"{constants.ENDPOINT}/{kind.path}{name}"
    return WorkError(f"{kind.noun} `{name}` is gated: ask for access at {page}, then log in by `hf auth login`")


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or each.__context__


def _line(error: BaseException) -> str:
    return reason_of(error)
