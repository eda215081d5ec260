"""Eigenvalue-corrected Kronecker factors as the curvature of the second-order step on the selected units.

The curvature of a weight ``[out, in]`` is not diagonal in the weight's own axes, as in Eq. 10, but in the
eigenbasis of G ⊗ A, where G = Σ δ δᵀ and A = Σ a aᵀ, with the eigenvalues that the gradients have there
(George et al. 2018).
"""
