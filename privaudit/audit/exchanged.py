"""Members and non-members that are told apart the wrong way round: no AUC near 0 is a pass."""

from __future__ import annotations

__all__ = ["judge_exchanged"]


def judge_exchanged(name: str, auc: float, high: float, budget: float) -> list[str]:
    """Say why nothing can be concluded from sets of which a model knows the non-members better.

    A model that leaks nothing has an AUC of 0.5. One that is shown to be as far below as the budget
    is above is one that leaks, and was asked with its two sets exchanged.

    Parameters
    ----------
    name
        The result, such as ``"attack-I-threshold"``.
    auc, high
        Its AUC, and the upper bound of it.
    budget
        The largest AUC that is accepted.
    """
    # Exactly at the mirrored budget nothing is shown to be over it.
    if not high < 1 - budget:
        return []
    return [
        f"AUC {auc:.3f} (at most {high:.3f}) by {name}: non-members are known better than members, "
        f"and the other way round that would be over the budget of {budget:g}\n"
        "are the fixtures members and non_members exchanged? If not, the sets differ in more than "
        "membership: take both from one source, and decide membership by privaudit.split_by_coin"
    ]
