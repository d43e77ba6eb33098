"""What stands in place of a file that was not fetched: a git-lfs pointer, or the page of a failed download."""

LFS = b"version https://git-lfs.github.com/spec/"
"""How the pointer begins that git checks out where git-lfs did not fetch the file."""

_PAGE = (b"<!doctype html", b"<html", b"<?xml")


def stand_in(head: bytes) -> str | None:
    """Say what a file is by its first bytes, and what to do; None where they do not show it.

    Args:
        head: the first 64 bytes at least, or all of a shorter file.
    """
    if head.startswith(LFS):
        return "it is a git-lfs pointer, not the file: run `git lfs pull` in its folder"
    if head.lstrip().lower().startswith(_PAGE):
        return "it is a web page, as a download that failed leaves it: fetch it again"
    return None
