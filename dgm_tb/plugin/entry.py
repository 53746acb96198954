"""The ``tensorboard_plugins`` entry point: ``dgm_tb.plugin.entry:DgmLoader``.

TensorBoard imports this module without a ``try``: an ImportError here ends the whole ``tensorboard`` command, for
every plugin. So it may import the standard library and ``tensorboard.plugins.base_plugin``, nothing else. What ``load``
raises is caught, logged, and costs only this tab.
"""

from __future__ import annotations

import argparse

from tensorboard.plugins import base_plugin


class DgmLoader(base_plugin.TBLoader):  # type: ignore[misc]  # tensorboard ships no types
    """Makes the plugin once TensorBoard has parsed its flags."""

    def fix_flags(self, flags: argparse.Namespace) -> None:
        """Lets TensorBoard's own loader keep one tensor a tag of the small plane: the tab reads its own files."""
        flags.samples_per_plugin.setdefault("dgm", 1)

    def load(self, context: base_plugin.TBContext) -> base_plugin.TBPlugin:
        from dgm_tb.plugin.app import DgmPlugin

        return DgmPlugin(context)
