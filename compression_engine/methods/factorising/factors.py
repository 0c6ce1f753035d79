"""Two factors for a matrix, and how much of it each rank leaves out.

How: fitted to the weights it is the truncated singular value decomposition, whose error no other pair of that rank undercuts
(Eckart and Young, 1936). Fitted to inputs X it is the same of what the matrix answers: among all of that rank the answers X W V V'
are nearest to X W, where V are the first eigenvectors of W' X'X W (Zhang, Zou, He and Sun, "Accelerating Very Deep Convolutional
Networks for Classification and Detection", 2015; it is what whitening by a Cholesky factor comes to in Wang et al., "SVD-LLM",
ICLR 2025, and needs no factor that can be inverted).

Rules:
- float64, one thread of LAPACK; the sign of each pair is that by which the largest number of its left part is positive;
- both factors share the length of each pair, so that neither leaves the range of 16-bit floats, nor learns at another pace;
- what is told of errors are squares as shares of the whole: of the matrix, or of its answers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Spectrum:
    """A matrix [rows, columns] in pairs of falling weight, and what is left out by rank."""

    left: Matrix
    """[rows, pairs]"""
    right: Matrix
    """[pairs, columns]"""
    errors: Matrix
    """[pairs + 1]: the share that is lost with the first n pairs."""

    def pair(self, rank: int) -> tuple[Matrix, Matrix]:
        """[rows, rank] and [rank, columns], whose product stands for the matrix."""
        return balanced(self.left[:, :rank], self.right[:rank])


def by_weights(matrix: Matrix) -> Spectrum:
    """The singular value decomposition of a finite matrix."""
    with threadpool_limits(limits=1, user_api="blas"):
        left, sizes, right = np.linalg.svd(matrix, full_matrices=False)
    return Spectrum(left * sizes, right, _left_out(sizes**2))


def by_inputs(matrix: Matrix, gram: Matrix, inner_axis: int) -> Spectrum:
    """For inputs with the gram matrix X'X [inner, inner], the matrix being summed over its axis `inner_axis`."""
    weight = matrix if inner_axis == 0 else matrix.T
    with threadpool_limits(limits=1, user_api="blas"):
        energies, kept = _directions(weight, gram)
        reached = weight @ kept
    left, right = (reached, kept.T) if inner_axis == 0 else (kept, reached.T)
    return Spectrum(left, right, _left_out(energies))


def _directions(weight: Matrix, gram: Matrix) -> tuple[Matrix, Matrix]:
    """Eigenvalues and -vectors of W' G W, the largest first, for a weight [inner, outer]; as many as the smaller size."""
    inner, outer = weight.shape
    if outer <= inner:
        energies, vectors = np.linalg.eigh(_symmetric(weight.T @ gram @ weight))
        return np.maximum(energies[::-1], 0), vectors[:, ::-1]
    squares, turned = np.linalg.eigh(_symmetric(gram))
    root = np.sqrt(np.maximum(squares, 0))[:, None] * turned.T
    _, sizes, right = np.linalg.svd(root @ weight, full_matrices=False)
    return sizes**2, right.T


def _symmetric(matrix: Matrix) -> Matrix:
    made: Matrix = (matrix + matrix.T) / 2
    return made


def balanced(left: Matrix, right: Matrix) -> tuple[Matrix, Matrix]:
    """The same product, with pairs of equal length and a sign of their own."""
    lengths = [np.linalg.norm(left, axis=0), np.linalg.norm(right, axis=1)]
    share = np.sqrt(np.divide(lengths[1], lengths[0], out=np.ones_like(lengths[0]), where=lengths[0] > 0))
    share = np.where(share > 0, share, 1.0)
    largest = np.abs(left).argmax(axis=0)
    share = np.where(left[largest, np.arange(left.shape[1])] < 0, -share, share)
    return left * share, right / share[:, None]


def _left_out(energies: Matrix) -> Matrix:
    """Of falling energies [n], the share that the first 0 to n leave out, [n + 1]."""
    behind = np.concatenate([np.cumsum(energies[::-1])[::-1], [0.0]])
    return behind / (behind[0] or 1.0)
