"""Patterns of what identifies a person, a machine or a place in a text, and the stand-in for each."""

import ipaddress
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

SYSTEM = ("/sys/", "/proc/", "/dev/")
"""Folders of the kernel, which are alike everywhere."""

_HOMES = ("home", "homes", "users", "scratch")
"""Folders in which each name is a user's."""

_PUBLIC = {
    "aclanthology.org", "acm.org", "amd.com", "arxiv.org", "codecarbon.io", "creativecommons.org", "doi.org",
    "electricitymaps.com", "ember-energy.org", "github.com", "github.io", "githubusercontent.com", "google.com",
    "huggingface.co", "ieee.org", "intel.com", "isca-archive.org", "kaggle.com", "microsoft.com", "mlcommons.org",
    "mozilla.org", "nvidia.com", "onnxruntime.ai", "openslr.org", "openvino.ai", "pypi.org", "python.org",
    "pytorch.org", "readthedocs.io", "voxforge.org", "wikipedia.org", "zenodo.org",
}  # fmt: skip
"""Domains of public references, whose hosts stay."""

_TLD = (
    "com|org|net|edu|gov|mil|info|biz|io|ai|co|cloud|dev|tech|eu|uk|de|fr|ch|at|nl|be|se|no|fi|dk|es|it|pl|cz|ie|us|ca|"
    "au|nz|jp|cn|kr|br|ru"
)
_INTERNAL = "local|localdomain|lan|internal|intranet|home|corp|private"
_END = r"(?!\w|\.\w)"
_IN_URL = r"[^\s'\"`<>,;)]"
_HEX, _OCTET = "[0-9A-Fa-f]", r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_UUID = rf"{_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}"
_HOST_CHARS = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"

_OUTSIDE = re.compile(r"(?:/(?!/)|~[\w.-]*[/\\]|[A-Za-z]:[\\/]|\.\.[\\/]|\\\\)\S")


@dataclass(frozen=True)
class Pattern:
    """One form of an identifier.

    Attributes:
        kind: its name for people.
        form: what it looks like.
        stand_in: returns the replacement of a match; the match itself where it identifies nobody.
    """

    kind: str
    form: re.Pattern[str]
    stand_in: Callable[[re.Match[str]], str]


def cut(value: str) -> str:
    """Return a text with every identifier in it replaced by its stand-in."""
    for pattern in PATTERNS:
        value = pattern.form.sub(pattern.stand_in, value)
    return value


def is_path(value: str) -> bool:
    """Say whether a whole value is a path outside the working directory; a message that begins with one is not."""
    if value.startswith(SYSTEM) or "\n" in value or ": " in value:
        return False
    is_spaced = " " in value and not re.search(r"[/\\][^/\\]* [^/\\]*[/\\.]", value)
    return bool(_OUTSIDE.match(value)) and not is_spaced


def is_private_id(utterance_id: Any) -> bool:
    """Say whether an utterance's id is a path on somebody's machine; it cannot be changed, as it is hashed."""
    return isinstance(utterance_id, str) and is_path(utterance_id)


def search(value: str) -> Iterator[tuple[str, str]]:
    """Yield the kind and the wording of every identifier in a text, as ``cut`` replaces them."""
    for pattern in PATTERNS:
        for match in pattern.form.finditer(value):
            if pattern.stand_in(match) != match[0]:
                yield pattern.kind, match[0]
        value = pattern.form.sub(pattern.stand_in, value)


def last_name(path: str) -> str:
    """Return the last name of a path; ``<home>`` for a home folder, whose name is a user's."""
    parts = PureWindowsPath(path) if "\\" in path or path[1:2] == ":" else PurePosixPath(path)
    if parts.parent.name.lower() in _HOMES:
        return "<home>"
    return parts.name if parts.name not in ("", "..") else "<path>"


def _always(text: str) -> Callable[[re.Match[str]], str]:
    return lambda _: text


def _after_key(text: str) -> Callable[[re.Match[str]], str]:
    return lambda match: match["key"] + text


def _secret(match: re.Match[str]) -> str:
    """Replace a value that looks like a secret; a name of ordinary words is none."""
    value = match["value"]
    is_password = "pass" in match["key"].lower() or "pwd" in match["key"].lower()
    is_random = bool(re.search(r"\d", value) and re.search(r"[A-Za-z]", value)) and len(value) >= 8
    is_name = not re.fullmatch(f"{_HEX}+", value) and re.search(r"[a-z]{4}", value) and value == value.lower()
    return f"{match['key']}<token>" if is_password or (is_random and not is_name) else match[0]


def _user_at_host(match: re.Match[str]) -> str:
    """Replace ``user@host``; a version, a revision or a rank behind the sign is none."""
    host = match["host"]
    is_version = re.search(r"(?:^|-)v?\d+(?:\.\d+)+$", host) and not re.fullmatch(rf"(?:{_OCTET}\.){{3}}{_OCTET}", host)
    is_revision = re.fullmatch(
        rf"v?\d+|{_HEX}{{7,40}}|main|master|head|latest|dev|top|max|min|[a-z]|(?:fp|bf|int)\d+", host, re.IGNORECASE
    )
    return match[0] if is_version or is_revision else "<user>@<host>"


def _ipv4(match: re.Match[str]) -> str:
    """Replace an address; four numbers behind the name of a driver or a library are a version."""
    before = match.string[: match.start()].rstrip(" :=v").lower()
    is_version = re.search(r"(?:cudnn|tensorrt|cuda|nccl|cublas|driver|version|release|build|firmware|bios)$", before)
    return match[0] if is_version else "<address>"


def _ipv6(match: re.Match[str]) -> str:
    """Replace what is an address, as those that are given to interfaces begin; a time or a slice is none."""
    for address in (match["address"], match["address"].rstrip(":.")):  # a sentence may go on with a colon
        with suppress(ValueError):
            ipaddress.IPv6Address(address)
            return "<address>" + match["address"][len(address) :]
    return match[0]


def _public_host(match: re.Match[str]) -> str:
    """Replace a host within a domain, but not one that is a public reference."""
    labels = match[0].lower().split(".")
    is_public = ".".join(labels[-2:]) in _PUBLIC or labels[0] in ("www", "docs")
    return match[0] if is_public or max(map(len, labels)) < 4 else "<host>"


def _remote_path(match: re.Match[str]) -> str:
    """Replace ``host:/path`` by the path's last name; a word before the colon that is no host stays."""
    is_host = re.search(r"[\d.-]", match["key"])
    return f"{'<host>' if is_host else match['key']}:{last_name(match['path'])}"


def _kept_system(match: re.Match[str]) -> str:
    path = match["path"]
    shared = path if path.startswith(SYSTEM) else last_name(path)
    return f"{match['quote']}{shared}{match['quote']}"


def _path(match: re.Match[str]) -> str:
    is_sign = match[0] in ("/", "\\")  # as in "J / s"
    return match[0] if is_sign or match[0].startswith(SYSTEM) else last_name(match[0])


def _public_bucket(match: re.Match[str]) -> str:
    """Keep the last name of what lies in a bucket."""
    return f"<bucket>/{match[0].rstrip('/').rpartition('/')[2]}" if match[0].count("/") > 3 else "<bucket>"


def _share(match: re.Match[str]) -> str:
    return last_name(match["path"]) if match["path"] else "<host>"


Forms = tuple[str, str, str | Callable[[re.Match[str]], str], tuple[str, ...]]

_SECRETS: tuple[Forms, ...] = (
    ("token", "s", "<token>", (
        r"-----BEGIN [A-Z ]*KEY-----.*?(?:-----END [A-Z ]*KEY-----|\Z)",
        r"\b(?:hf_|gh[pousr]_|github_pat_|npm_|pypi-|glpat-|xox[abeprs]-|sk-|dckr_pat_|AIza)[\w-]{16,}",
        r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b", r"\bya29\.[\w-]{20,}", r"hooks\.slack\.com/[\w/]+",
        r"\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?", r"\bssh-\w+ AAAA[\w+/=]+",
        r"(?<=://)[^\s/@:<>]+:[^\s/@<>]+(?=@)",
    )),
    ("token", "", _after_key("<token>"), (r"(?P<key>\bBearer\s+)[\w.~+/-]{12,}=*",)),
    ("token", "i", _secret, (
        r"(?P<key>(?<![\w-])[\w-]*(?:token|secret|(?:api|access|account)[_-]?key|\bsig|password|passwd|pwd|passphrase)"
        r"['\"]?(?:\s*[:=]\s*|\s+is\s+)['\"]?)(?P<value>[^\s'\"<>,;&]{3,})",
    )),
)  # fmt: skip

_PEOPLE: tuple[Forms, ...] = (
    ("user and host", "", "<user>@<host>", (r"\bgit@[\w.-]+:[\w./~-]+",)),
    ("mail", "i", "<mail>", (
        r"(?<![\w.+-])[\w.+-]+@(?:[\w-]+\.)+[A-Z]{2,}\b(?![.-]?\w)",
        r"(?<![\w.+-])[\w.+-]+\s?[\[(]\s?at\s?[\])]\s?[\w-]+(?:(?:\.|\s?[\[(]\s?dot\s?[\])]\s?| dot )[\w-]+)+",
    )),
    ("user and host", "", _user_at_host, (
        rf"(?<![\w.@/+-])[a-z_][a-z0-9_.-]*@(?P<host>(?:{_HOST_CHARS}\.)*{_HOST_CHARS})",
    )),
    ("user", "", "<user>", (r"(?<![\w\\/])[A-Z][A-Z0-9-]{2,14}\\[a-z][\w.-]+",)),
)  # fmt: skip

_PLACES: tuple[Forms, ...] = (
    ("bucket", "", _public_bucket, (
        rf"\b(?:s3[an]?|gs|gcs|az|abfss?|wasbs?|r2|oss|cos|obs|b2|minio|hdfs|dbfs)://{_IN_URL}+",
    )),
    ("bucket", "", "<bucket>", (
        r"\barn:aws[\w-]*:[\w:/*.-]+",
        r"(?:https?://)?(?<![\w.-])(?:[\w-]+\.)+(?:amazonaws\.com|(?:blob|dfs)\.core\.windows\.net|"
        rf"r2\.cloudflarestorage\.com)(?:/{_IN_URL}*)?",
        rf"(?:https?://)?storage\.(?:googleapis|cloud\.google)\.com/{_IN_URL}+",
    )),
    ("host", "", lambda match: f"{match['scheme']}://<host>", (
        r"\b(?P<scheme>smb|nfs|cifs|afp|ssh|sftp|scp|ftps?|rsync|ldaps?|postgres(?:ql)?|mysql|redis|mongodb(?:\+srv)?|"
        rf"mqtts?|grpc|tcp|udp)://(?!<){_IN_URL}+",
    )),
    ("host", "", "<host>", (r"(?<=http://|ttps://)(?!localhost\b)[A-Za-z][\w-]*(?=[:/]|\Z|\s)",)),
    ("share", "", _share, (
        r"(?<![\w\\:])\\\\[\w.$-]+(?P<path>(?:\\[^\s\\/'\"`<>|,;:]+)*)\\?",
        r"(?<![\w:/.])//[\w.-]+(?P<path>/[^\s'\"`<>|,;:]+)",
    )),
    ("path", "", _remote_path, (r"(?<![\w./-])(?P<key>[\w.-]{2,}):(?P<path>/(?!/)[^\s'\"`,;()<>|]+)",)),
    ("path", "", _kept_system, (r"(?P<quote>['\"`])(?P<path>(?:~|[A-Za-z]:|\.\.)?[/\\][^'\"`\n]+)(?P=quote)",)),
    ("path", "", lambda match: match["key"] + last_name(match["path"]), (
        r"(?P<key>(?:file|local):)(?P<path>(?:[A-Za-z]:|~|\.\.)?[/\\][^\s+]*)",
    )),
    ("path", "", _path, (
        r"(?<![\w.:/\\~>+-])"  # neither in a word or a URL, nor in the middle of a relative path
        r"(?!(?<=<)/\w+>)"  # nor the end of a tag
        r"(?:~[\w.-]*|[A-Za-z]:|\.\.)?[/\\]"
        r"(?:[^\s/\\'\"`,;:()<>|\[\]{}=]+[/\\])*"
        r"[^\s/\\'\"`,;:()<>|\[\]{}=]*",
    )),
)  # fmt: skip

_MACHINES: tuple[Forms, ...] = (
    ("hardware address", "", "<mac>", (
        rf"(?<!\b{_HEX}{{2}}:)(?<![\w-]){_HEX}{{2}}(?::{_HEX}{{2}}){{5}}(?:(?::{_HEX}{{2}}){{2}})?(?![\w:-])",
        rf"(?<![\w-])(?=[\d-]*[A-Fa-f]){_HEX}{{2}}(?:-{_HEX}{{2}}){{5}}(?![\w-])",
        rf"(?<![\w.])(?=[\d.]*[A-Fa-f]){_HEX}{{4}}\.{_HEX}{{4}}\.{_HEX}{{4}}{_END}",
    )),
    ("hardware address", "i", _after_key("<mac>"), (rf"(?P<key>\bMAC(?:[ -]address)?[ :=]+){_HEX}{{12}}\b",)),
    ("address", "", _ipv6, (
        rf"(?<![\w.])(?P<address>(?:[23]{_HEX}{{3}}|f[cdef]{_HEX}{{2}}|64|F[CDEF]{_HEX}{{2}}):[0-9A-Fa-f:.]{{1,45}})"
        r"(?:%[\w.-]+)?(?!\w)",
    )),
    ("address", "", _ipv4, (rf"(?<![\w.])(?:{_OCTET}\.){{3}}{_OCTET}{_END}",)),
    ("host", "i", "<host>", (rf"(?<![\w.-])(?:[\w-]+\.)+(?:{_INTERNAL}|home\.arpa)\b(?![\w-]|\.\w)",)),
    ("host", "i", _public_host, (rf"(?<![\w.+-])(?<![^/]/)(?:{_HOST_CHARS}\.){{2,}}(?:{_TLD})\b(?![\w@-]|\.\w)",)),
    ("host", "i", _after_key("<host>"), (
        r"(?P<key>\b(?:host[ -]?name\s*(?:[:=]|\bis\b)\s*|host\s*[:=]\s*(?=[\w-]*[\d-])))(?!<)[A-Z][\w.-]*\w",
        r"(?P<key>\b(?:host|node|server|machine|box)\s+)[a-z]+(?:-?0\d{1,3}|(?:-[a-z0-9]+)*-\d{1,4})\b(?!\.)",
    )),
    ("serial number", "", "<serial>", (rf"\b(?:(?:GPU|MIG)-)?{_UUID}\b", r"\bi-[0-9a-f]{17}\b")),
    ("serial number", "i", _after_key("<serial>"), (
        r"(?P<key>\b(?:serial[ -]?(?:number|no\.?|nr\.?)|s/n|SN(?=\s*[:=#])|asset[ -]?tag|service[ -]?tag|imei)"
        r"\s*(?:[:=#]\s*|is\s+)?|\bserial\s*(?:[:=#]|is)\s*)(?=[A-Z/-]*\d)[A-Z0-9][\w/-]{3,}",
    )),
    ("serial number", "", _after_key("<serial>"), (
        r"(?P<key>\b[Ss]erial )(?=[A-Z-]*\d)(?=[\d-]*[A-Z])[A-Z0-9-]{7,}\b",
    )),
)  # fmt: skip

PATTERNS = tuple(
    Pattern(kind, re.compile(form, sum(re.RegexFlag[flag.upper()] for flag in flags)),
            _always(stand_in) if isinstance(stand_in, str) else stand_in)
    for kind, flags, stand_in, forms in (*_SECRETS, *_PEOPLE, *_PLACES, *_MACHINES)
    for form in forms
)  # fmt: skip
"""All patterns, in the order in which they are applied: a longer form comes before one that is a part of it."""
