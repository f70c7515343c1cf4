//! Layers whose activations are not kept for the backward pass but made again in it (Chen et al. 2016).
//!
//! burn's graph then has one operation for all of a block, which keeps the block's inputs. In the backward
//! pass the block runs again, in a graph of its own that shares no node with the one around it, and the
//! gradients found there join the others.

use std::array;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use burn::backend::{Autodiff, Flex};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{self, Tensor};
use burn_autodiff::NodeId;
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::NoCheckpointing;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};

use crate::gradient::Tracked;

/// How a block makes its result of its inputs.
type Forward<M, const N: usize> = dyn Fn(&M, [Tensor<2>; N]) -> Tensor<2> + Send + Sync;

/// `forward(module, inputs)`, run once now and once more in the backward pass; of the activations only the
/// inputs are kept in between. `forward` is a function of its arguments, and no tensor that it brings along
/// wants a gradient. Results are the same to the last bit; so are gradients where no block uses twice what
/// others use too, since sums of three and more depend on their order.
///
/// Where no input records gradients this is `forward` and no more; on devices other than the CPU
/// activations are kept.
pub fn recomputed<M: Module + 'static, const N: usize>(
    module: &M,
    inputs: [Tensor<2>; N],
    forward: impl Fn(&M, [Tensor<2>; N]) -> Tensor<2> + Send + Sync + 'static,
) -> Tensor<2> {
    let forward: Arc<Forward<M, N>> = Arc::new(forward);
    let output = recorded(module, &inputs, forward.clone());
    output.unwrap_or_else(|| forward(module, inputs))
}

/// `None` where nothing records gradients, and on other devices.
fn recorded<M: Module + 'static, const N: usize>(
    module: &M,
    inputs: &[Tensor<2>; N],
    forward: Arc<Forward<M, N>>,
) -> Option<Tensor<2>> {
    if !inputs.iter().any(Tensor::is_autodiff) {
        return None;
    }
    let parents = inputs.iter().cloned().map(Tensor::autodiff).map(tracked);
    let mut parents: Vec<Tracked> = parents.collect::<Option<_>>()?;
    let mut cut = Cut::default();
    let block = Block {
        module: module.clone().map(&mut cut),
        wanted: cut.wanted,
        inputs: inputs.clone().map(Tensor::without_autodiff),
        forward,
    };
    // burn records what has a parent that wants a gradient. Parameters, of which there may be any number, are
    // no parents; where only they want one, the first input stands for them.
    let any = parents.iter().any(Tracked::is_tracked);
    if let (Some(first), false, false) = (parents.first_mut(), any, block.wanted.is_empty()) {
        *first = first.clone().require_grad();
    }
    // The layers that training has, without a graph.
    let output = (block.forward)(&block.module, block.inputs.clone().map(Tensor::autodiff));
    let output = tracked(output)?.into_primitive();
    let nodes: Vec<_> = parents.iter().map(Tracked::node).collect();
    let operation = Recomputed::<M, N>(std::marker::PhantomData);
    let prepared = operation.prepare::<NoCheckpointing>(nodes.try_into().ok()?);
    let output = match prepared.compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(block, output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    };
    Some(Tensor::from_primitive::<Autodiff<Flex>>(output))
}

/// `None` on other devices, and where gradients are not recorded.
fn tracked<const D: usize>(tensor: Tensor<D>) -> Option<Tracked> {
    tensor.try_into_primitive::<Autodiff<Flex>>().ok()
}

/// What is kept to run a block again. None of it is part of a graph, which would else keep itself alive.
struct Block<M, const N: usize> {
    module: M,
    /// The parameters that want a gradient, and where it goes.
    wanted: HashMap<ParamId, NodeId>,
    inputs: [Tensor<2>; N],
    forward: Arc<Forward<M, N>>,
}

impl<M: Clone, const N: usize> Clone for Block<M, N> {
    fn clone(&self) -> Self {
        Block {
            module: self.module.clone(),
            wanted: self.wanted.clone(),
            inputs: self.inputs.clone(),
            forward: self.forward.clone(),
        }
    }
}

impl<M: fmt::Debug, const N: usize> fmt::Debug for Block<M, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Block").field(&self.module).finish()
    }
}

/// The operation in burn's graph.
struct Recomputed<M, const N: usize>(std::marker::PhantomData<fn() -> M>);

impl<M, const N: usize> fmt::Debug for Recomputed<M, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recomputed<{}>", std::any::type_name::<M>())
    }
}

impl<M: Module + 'static, const N: usize> Backward<Flex, N> for Recomputed<M, N> {
    type State = Block<M, N>;

    fn backward(
        self,
        ops: Ops<Self::State, N>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let output = Tensor::<2>::from_primitive::<Flex>(gradients.consume::<Flex>(&ops.node));
        let (block, parents) = (ops.state, ops.parents);
        let module = block.module.map(&mut Leaves(&block.wanted));
        let inputs: [Tensor<2>; N] = array::from_fn(|at| {
            let input = block.inputs[at].clone().autodiff();
            input.set_require_grad(parents[at].is_some())
        });
        let again = (block.forward)(&module, inputs.clone());
        // The derivative of this sum by the result is the gradient that came.
        let mut found = (again * output.autodiff()).sum().backward();
        for (parent, input) in parents.iter().zip(&inputs) {
            if let Some(parent) = parent {
                pass_on(input, &mut found, parent.id, gradients);
            }
        }
        module.visit(&mut PassOn {
            wanted: &block.wanted,
            found,
            gradients,
        });
    }
}

/// Moves a tensor's gradient, if there is one, to a node of another graph.
fn pass_on<const D: usize>(
    of: &Tensor<D>,
    found: &mut tensor::Gradients,
    to: NodeId,
    gradients: &mut Gradients,
) {
    let gradient = of.grad_remove(found);
    if let Some(Ok(gradient)) = gradient.map(Tensor::try_into_primitive::<Flex>) {
        gradients.register::<Flex>(to, gradient);
    }
}

/// Takes parameters out of the graph, noting which want a gradient and where.
#[derive(Default)]
struct Cut {
    wanted: HashMap<ParamId, NodeId>,
}

impl ModuleMapper for Cut {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let value = param.val();
        if let (true, Some(leaf)) = (value.is_require_grad(), tracked(value)) {
            self.wanted.insert(param.id, leaf.id());
        }
        param.map(|value| value.set_require_grad(false))
    }
}

/// Makes those that want a gradient leaves of a new graph.
struct Leaves<'a>(&'a HashMap<ParamId, NodeId>);

impl ModuleMapper for Leaves<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let wanted = self.0.contains_key(&param.id);
        param.map(|value| value.set_require_grad(wanted))
    }
}

/// Moves the gradients of parameters to the graph that they came from.
struct PassOn<'a> {
    wanted: &'a HashMap<ParamId, NodeId>,
    found: tensor::Gradients,
    gradients: &'a mut Gradients,
}

impl ModuleVisitor for PassOn<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(node) = self.wanted.get(&param.id) {
            pass_on(&param.val(), &mut self.found, *node, self.gradients);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::draws::draw;
    use crate::init::Init;
    use crate::layer::{LayerNorm, Linear};
    use crate::weights::Weights;
    use burn::tensor::Device;

    /// `W norm(x) + x + y`
    #[derive(Module, Debug)]
    struct Layers {
        norm: LayerNorm,
        map: Linear,
    }

    fn layers() -> Layers {
        let weights = Weights::seeded(3, &Device::flex());
        Layers {
            norm: LayerNorm::new(&weights.at("norm"), 8, 1e-6, true),
            map: Linear::new(&weights.at("map"), 8, 8, true, Init::Normal(0.3)),
        }
    }

    fn forward(layers: &Layers, [x, y]: [Tensor<2>; 2]) -> Tensor<2> {
        layers.map.forward_normed(&layers.norm, x.clone()) + x + y
    }

    /// The bits of the result, and of the gradients of inputs and parameters.
    type Bits = (Vec<u32>, [Option<Vec<u32>>; 2], Vec<Option<Vec<u32>>>);

    fn bits<const D: usize>(tensor: Tensor<D>) -> Vec<u32> {
        tensor.into_data().iter::<f32>().map(f32::to_bits).collect()
    }

    struct Found<'a>(&'a tensor::Gradients, Vec<Option<Vec<u32>>>);

    impl ModuleVisitor for Found<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.1.push(param.val().grad(self.0).map(bits));
        }
    }

    /// Two blocks, one after the other, both with the second input.
    fn run(
        layers: &Layers,
        inputs: [Tensor<2>; 2],
        block: impl Fn(&Layers, [Tensor<2>; 2]) -> Tensor<2>,
    ) -> Bits {
        let [x, y] = inputs.clone();
        let between = block(layers, [x, y.clone()]);
        let output = block(layers, [between, y]);
        let gradients = output.clone().square().sum().backward();
        let mut found = Found(&gradients, Vec::new());
        layers.visit(&mut found);
        let of_inputs = inputs.map(|input| input.grad(&gradients).map(bits));
        (bits(output), of_inputs, found.1)
    }

    #[test]
    fn gradients_are_the_same_whatever_wants_one() {
        let [x, y] = [(); 2].map(|()| draw([5, 8]).autodiff());
        let trained = layers().train();
        for (wanted, layers) in [
            ([true, true], trained.clone()),
            ([false, true], trained.clone()),
            ([false, false], trained.clone()),
            ([true, false], trained.no_grad()),
        ] {
            let inputs = [x.clone(), y.clone()];
            let mut wanted = wanted.into_iter();
            let inputs = inputs.map(|input| input.set_require_grad(wanted.next() == Some(true)));
            let expected = run(&layers, inputs.clone(), forward);
            let found = run(&layers, inputs, |layers, inputs| {
                recomputed(layers, inputs, forward)
            });
            assert!(expected.1.iter().chain(&expected.2).any(Option::is_some));
            assert_eq!(found.0, expected.0);
            assert_eq!(found.2, expected.2);
            for (found, expected) in found.1.iter().zip(expected.1) {
                // An input that stands for parameters has a gradient that nobody asked for.
                assert!(expected.is_none() || *found == expected);
            }
        }
    }

    #[test]
    fn a_block_runs_again_only_for_a_gradient() {
        let [x, y] = [(); 2].map(|()| draw([5, 8]));
        let times = |layers: &Layers, inputs: [Tensor<2>; 2]| {
            let times = Arc::new(AtomicUsize::new(0));
            let counter = times.clone();
            let output = recomputed(layers, inputs, move |layers: &Layers, inputs| {
                counter.fetch_add(1, Ordering::Relaxed);
                forward(layers, inputs)
            });
            if output.is_tracked() {
                output.sum().backward();
            }
            times.load(Ordering::Relaxed)
        };
        let inputs = [x, y];
        assert_eq!(times(&layers(), inputs.clone()), 1);
        let inputs = inputs.map(Tensor::autodiff);
        assert_eq!(times(&layers().train().no_grad(), inputs.clone()), 1);
        assert_eq!(times(&layers().train(), inputs), 2);
    }
}
