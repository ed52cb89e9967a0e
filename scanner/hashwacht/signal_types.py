"""The public extension points for signal types: what an operator's own hash has to provide.

A signal type is a class with the attributes and methods of :class:`SignalType` and of at least
one capability: :class:`Digest`, :class:`PictureHash` or :class:`EncodedPictureHash`.  An installed
package announces it under the entry point group :data:`ENTRY_POINT_GROUP`::

    [project.entry-points."hashwacht.signal_types"]
    photodna = "my_package:PhotoDNA"

::

    from hashwacht.signal_types import HexSignalType, Picture, Signal

    class PhotoDNA(HexSignalType):
        def __init__(self) -> None:
            super().__init__("photodna", bits=1152, perceptual=False)

        def signals(self, picture: Picture) -> list[Signal]:
            return [Signal(self.name, licensed.hash(picture.rgb))]

It is loaded only if the configuration or a matcher names it.  The contract suite
``hashwacht.testing.signal_type_contract.SignalTypeContract`` checks it.
"""

from hashwacht.core.errors import SignalError
from hashwacht.core.ports import SignalType
from hashwacht.core.signals import ENTRY_POINT_GROUP, HexSignalType
from hashwacht.core.types import Signal
from hashwacht.hashing.picture import Picture
from hashwacht.hashing.registry import Digest, DigestState, EncodedPictureHash, PictureHash

__all__ = [
    "ENTRY_POINT_GROUP",
    "Digest",
    "DigestState",
    "EncodedPictureHash",
    "HexSignalType",
    "Picture",
    "PictureHash",
    "Signal",
    "SignalError",
    "SignalType",
]
