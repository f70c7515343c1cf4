//! The gradient of a whole ConvNeXt block, one object after the other.

use std::cell::Cell;

use super::host::{Block, INPUTS, Kept, with_room};
use super::transpose;
use crate::aligned::Aligned;
use crate::gradient::Gradient;
use crate::memory::{HostTensor, in_blocks, zeros};
use crate::product::{Finish, Left, Matrix, Product, Right, Transposed, add_product};
use crate::rows::column_sums;
use crate::sequence::{MixGradient, ResponseGradient, respond_backward};

/// A block's inputs and what its forward pass kept.
#[derive(Debug)]
pub(super) struct BlockGradient {
    pub hosts: [HostTensor; INPUTS],
    /// `(taps, dim)`
    pub taps: Vec<f32>,
    pub kept: Kept,
}

thread_local! {
    /// For an object: the gradient of its hidden values, these, its normalised rows and their gradient.
    static ROOM: Cell<[Aligned; 4]> = Cell::default();
}

/// The gradients' sums over objects.
struct Sums {
    mix: MixGradient,
    response: ResponseGradient,
    /// `(hidden, dim)`
    expand: Vec<f32>,
    /// `(dim, hidden)`
    contract: Vec<f32>,
}

impl Gradient<INPUTS> for BlockGradient {
    fn backward(&self, output: &[f32], _: [bool; INPUTS]) -> [Option<Vec<f32>>; INPUTS] {
        let block = Block::new(&self.hosts, &self.taps);
        let (dim, hidden, length) = (block.dim(), block.hidden(), block.length);
        let mut sums = Sums {
            mix: MixGradient::zeros(&block.mix),
            response: ResponseGradient::zeros(hidden),
            expand: zeros(hidden * dim),
            contract: zeros(dim * hidden),
        };
        // What is added to the block's result goes to its input unchanged.
        let ([mut input], _) = in_blocks(output.len(), length * dim, |start, [input]| {
            input.copy_from_slice(&output[start..][..input.len()]);
        });
        let lens = [length * hidden, length * hidden, length * dim, length * dim];
        let work = |mut room: [&mut [f32]; 4]| {
            let objects = input.chunks_exact_mut(length * dim);
            for (object, (to, output)) in objects.zip(output.chunks_exact(length * dim)).enumerate()
            {
                self.object(&block, object, output, to, &mut sums, &mut room);
            }
        };
        with_room(&ROOM, lens, work);
        let (mix, response) = (sums.mix, sums.response);
        [
            input,
            transpose(&mix.kernel, dim),
            mix.bias,
            mix.scale,
            mix.shift,
            sums.expand,
            response.bias,
            response.gamma,
            response.beta,
            sums.contract,
            column_sums(output, dim),
        ]
        .map(Some)
    }
}

impl BlockGradient {
    /// From the gradient of one object's result. What goes through to its input is added to `to`,
    /// the parameters' gradients to `sums`.
    fn object(
        &self,
        block: &Block<'_>,
        object: usize,
        output: &[f32],
        to: &mut [f32],
        sums: &mut Sums,
        [gradient, values, normal, normal_gradient]: &mut [&mut [f32]; 4],
    ) {
        let (dim, hidden, length) = (block.dim(), block.hidden(), block.length);
        let input = &self.hosts[0].values()[object * length * dim..][..length * dim];
        let before = &self.kept.before[object];

        let weight = Right::Plain(block.contract, [dim, hidden]);
        multiply(Matrix::new(output, dim), length, weight, gradient);
        let response = &self.kept.responses[object];
        let found = respond_backward(before, response, block.response, gradient, values);
        sums.response.add(&found);
        let values = Right::Plain(values, [length, hidden]);
        let output = Transposed::new(output, dim);
        add_product(output, dim, values, &mut sums.contract);

        let weight = Right::Plain(block.expand, [hidden, dim]);
        let of_hidden = Matrix::new(gradient, hidden);
        multiply(of_hidden, length, weight, normal_gradient);
        block.mix.normalized(input, &block.norm, normal);
        let normal = Right::Plain(normal, [length, dim]);
        let of_hidden = Transposed::new(gradient, hidden);
        add_product(of_hidden, hidden, normal, &mut sums.expand);

        let found = block.mix.backward(input, &block.norm, normal_gradient, to);
        sums.mix.add(&found);
    }
}

fn multiply(left: impl Left, rows: usize, right: Right<'_>, output: &mut [f32]) {
    let finish = Finish::default();
    let product = Product {
        left,
        rows,
        right,
        finish,
    };
    product.write(output, right.columns());
}
