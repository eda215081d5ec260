"""The methods that are compared: a new one is one file and one line here."""

from peers.base import Method
from peers.kronfluence_diagonal import KronfluenceDiagonal
from peers.loop import Loop
from peers.opacus_samples import OpacusSamples
from peers.plain import Plain
from peers.speu import Speu
from peers.speu_masked import SpeuMasked
from peers.vmap import VmapOfGrad

METHODS: dict[str, type[Method]] = {
    method.name: method
    for method in (Plain, Speu, SpeuMasked, Loop, VmapOfGrad, OpacusSamples, KronfluenceDiagonal)
}
