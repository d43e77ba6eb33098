"""What singular values say: how low a rank may be, and the nearest product of that rank."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def balanced(left: "Tensor", right: "Tensor", rank: int) -> "tuple[Tensor, Tensor]":
    """Return the factors of the nearest product of a lower rank, of equal norms (Eckart and Young, 1936).

    Args:
        left: ``(m, size)``.
        right: ``(n, size)``; ``left @ right.T`` is to be approximated.
        rank: of the approximation, at most that of the product.

    Returns:
        ``(m, rank)`` and ``(n, rank)``.
    """
    import torch

    q1, r1 = torch.linalg.qr(left)
    q2, r2 = torch.linalg.qr(right)
    u, s, vh = torch.linalg.svd(r1 @ r2.T, full_matrices=False)
    root = s[:rank].sqrt()
    return q1 @ u[:, :rank] * root, q2 @ vh[:rank].T * root


def values_of_product(left: "Tensor", right: "Tensor") -> "Tensor":
    """Return the singular values of ``left @ right.T``, the largest first."""
    import torch

    r1, r2 = (torch.linalg.qr(factor, mode="r").R for factor in (left, right))
    values: Tensor = torch.linalg.svdvals(r1 @ r2.T)
    return values


def rank_of(values: "Tensor", energy: float, multiple_of: int = 1) -> int:
    """Return the least rank that keeps a share of the squared singular values.

    Args:
        values: the largest first.
        energy: the share, above 0 and at most 1.
        multiple_of: the rank is rounded up to a multiple of this, but not above the number of values.
    """
    import torch

    kept = torch.cumsum(values**2, 0)
    needed = int((kept < energy * kept[-1] * (1 - 1e-12)).sum()) + 1
    return min(len(values), -(-needed // multiple_of) * multiple_of)


def check_rank(rank: int | None, energy: float, multiple_of: int) -> None:
    """Refuse settings of a rank that leave nothing.

    Args:
        rank: itself; None to let ``rank_of`` choose it.
        energy: as ``rank_of`` takes it.
        multiple_of: likewise.

    Raises:
        ValueError: naming the setting.
    """
    if rank is not None and rank < 1:
        raise ValueError("rank: give at least 1")
    if not 0 < energy <= 1:
        raise ValueError("energy: give a share above 0, and at most 1")
    if multiple_of < 1:
        raise ValueError("multiple_of: give at least 1")
