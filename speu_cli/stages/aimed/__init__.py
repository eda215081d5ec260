"""Second-order steps that aim: each forgotten example at a target of its own, the rest held and checked."""
