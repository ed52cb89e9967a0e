"""The policy of each root, by its name."""

from __future__ import annotations

from collections.abc import Mapping

from hashwacht.settings import OnUndetermined, RootSettings


class Policies:
    """What the configuration of this moment wants; a root that it does not name only observes."""

    def __init__(self, roots: Mapping[str, RootSettings]) -> None:
        """Take the roots by name."""
        self._roots = roots

    def of(self, root: str) -> RootSettings:
        """Give the policy of a root."""
        return self._roots.get(root) or RootSettings(root)

    def holds_undetermined(self, root: str) -> bool:
        """Say if what nobody can say anything about is held there."""
        return self.of(root).undetermined is OnUndetermined.HOLD

    def holding_undetermined(self) -> list[str]:
        """Name all roots in which it is."""
        return [root for root in self._roots if self.holds_undetermined(root)]
