//! A ConvNeXt block on the CPU, one object after the other, so that what lies between its two
//! products stays in the caches.

use std::cell::Cell;
use std::thread::LocalKey;

use super::{EPSILON, EXPANSION};
use crate::activation::Activation;
use crate::aligned::Aligned;
use crate::memory::{HostTensor, zeros};
use crate::product::{Finish, Matrix, Product, Right, Scaled};
use crate::sequence::{Mix, Norm, Response, energies, gelu_with_energies};

/// The block's inputs: its input and ten parameters, in the order of [`Block::new`].
pub(super) const INPUTS: usize = 11;

/// The block's parameters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block<'a> {
    /// Positions of an object.
    pub length: usize,
    pub mix: Mix<'a>,
    pub norm: Norm<'a>,
    /// `(hidden, dim)`
    pub expand: &'a [f32],
    /// `(hidden)`
    pub expand_bias: &'a [f32],
    /// Of the response norm: gamma and beta, `(hidden)` each.
    pub response: [&'a [f32]; 2],
    /// `(dim, hidden)`
    pub contract: &'a [f32],
    /// `(dim)`
    pub contract_bias: &'a [f32],
}

/// What the gradient needs of a forward pass.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Values before GELU of each object, `(length, hidden)`.
    pub before: Vec<Vec<f32>>,
    /// Of each object.
    pub responses: Vec<Response>,
}

thread_local! {
    /// An object's normalised rows and hidden values, kept for the next block.
    static ROOM: Cell<[Aligned; 2]> = Cell::default();
}

/// Lends kept room for `lens` values of any content.
pub(super) fn with_room<R, const N: usize>(
    room: &'static LocalKey<Cell<[Aligned; N]>>,
    lens: [usize; N],
    work: impl FnOnce([&mut [f32]; N]) -> R,
) -> R
where
    [Aligned; N]: Default,
{
    let mut kept = room.take();
    let mut lens = lens.into_iter();
    let lent = kept
        .each_mut()
        .map(|room| room.at_least(lens.next().unwrap_or(0)));
    let result = work(lent);
    room.set(kept);
    result
}

impl<'a> Block<'a> {
    /// `taps` are the depthwise convolution's weight, transposed to `(taps, dim)`.
    pub(super) fn new(hosts: &'a [HostTensor; INPUTS], taps: &'a [f32]) -> Self {
        let [_, _, mix_bias, scale, shift, rest @ ..] = hosts.each_ref().map(HostTensor::values);
        let [expand, expand_bias, gamma, beta, contract, contract_bias] = rest;
        let [_, length, _] = hosts[0].dims();
        Block {
            length,
            mix: Mix {
                kernel: taps,
                bias: mix_bias,
            },
            norm: Norm {
                scale,
                shift,
                epsilon: EPSILON,
            },
            expand,
            expand_bias,
            response: [gamma, beta],
            contract,
            contract_bias,
        }
    }

    /// Channels of input and output.
    pub(super) fn dim(&self) -> usize {
        self.mix.bias.len()
    }

    /// Channels between the products.
    pub(super) fn hidden(&self) -> usize {
        EXPANSION * self.dim()
    }

    /// # Shapes
    /// `(batch, length, dim)` → the same
    pub(super) fn forward(&self, input: &[f32]) -> Vec<f32> {
        let (dim, length) = (self.dim(), self.length);
        let mut output = zeros(input.len());
        let objects = input.chunks_exact(length * dim);
        let work = |[normal, hidden]: [&mut [f32]; 2]| {
            for (input, output) in objects.zip(output.chunks_exact_mut(length * dim)) {
                self.mix.normalized(input, &self.norm, normal);
                let product = self.expanded(normal, Activation::Gelu);
                product.write(hidden, self.hidden());
                let response = Response::new(&energies(hidden, self.hidden()), EPSILON);
                self.contracted(hidden, &response, input, output);
            }
        };
        with_room(&ROOM, [length * dim, length * self.hidden()], work);
        output
    }

    /// The same, and what the gradient needs.
    pub(super) fn forward_kept(&self, input: &[f32]) -> (Vec<f32>, Kept) {
        let (dim, length) = (self.dim(), self.length);
        let mut output = zeros(input.len());
        let mut kept = Kept::default();
        let objects = input.chunks_exact(length * dim);
        let objects = objects.zip(output.chunks_exact_mut(length * dim));
        let work = |[normal, hidden]: [&mut [f32]; 2]| {
            for (input, output) in objects {
                self.mix.normalized(input, &self.norm, normal);
                let before = self.expanded(normal, Activation::Linear).matrix();
                let energies = gelu_with_energies(&before, hidden, self.hidden());
                let response = Response::new(&energies, EPSILON);
                self.contracted(hidden, &response, input, output);
                kept.before.push(before);
                kept.responses.push(response);
            }
        };
        with_room(&ROOM, [length * dim, length * self.hidden()], work);
        (output, kept)
    }

    /// The first product.
    fn expanded<'s>(
        &'s self,
        normal: &'s [f32],
        activation: Activation,
    ) -> Product<'s, Matrix<'s>> {
        Product {
            left: Matrix::new(normal, self.dim()),
            rows: self.length,
            right: Right::Weight(self.expand.into(), [self.hidden(), self.dim()]),
            finish: Finish {
                bias: Some(self.expand_bias),
                activation,
                ..Finish::default()
            },
        }
    }

    /// The response norm's factors, the second product, and the input added.
    fn contracted(&self, hidden: &[f32], response: &Response, input: &[f32], output: &mut [f32]) {
        let [gamma, beta] = self.response;
        let factors = response.factors(gamma);
        let product = Product {
            left: Scaled::new(hidden, [&factors, beta]),
            rows: self.length,
            right: Right::Weight(self.contract.into(), [self.dim(), self.hidden()]),
            finish: Finish {
                bias: Some(self.contract_bias),
                rest: Some((input, self.dim())),
                ..Finish::default()
            },
        };
        product.write(output, self.dim());
    }
}
