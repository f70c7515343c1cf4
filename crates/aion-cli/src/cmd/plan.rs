//! `aion plan`: the memory, time and money that a training run would take.

use std::num::NonZeroU64;

use aion_model::Preset;
use aion_train::plan::gpu::{GPUS, Gpu};
use aion_train::plan::memory::Zero;
use aion_train::plan::{PUBLISHED_BATCH, PUBLISHED_MFU, PUBLISHED_STEPS, Plan, Request, plan};
use serde_json::{Value, json};

use crate::failure::usage;
use crate::summary::{counted, print_json, print_table, print_text};

/// Reckon memory, time and cost of training a model on a cluster, without running anything
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: the published XL run, at 2.5 an hour
  aion plan --model xl --gpus 288 --gpu h100 --batch 8192 --price 2.5

Training is bf16 with AdamW and float32 states, 256 tokens in and 128 out. A step takes as long
as the longest of arithmetic, memory traffic and communication. The default of --mfu is what the
published runs reached; well-tuned code reaches several times that. A plan that does not fit into
memory says so (`fits` in JSON) and is no error: the exit code is 0. docs/plan.md explains each figure.")]
pub struct Args {
    /// Size: tiny, base, large, xlarge, xxlarge, or b, l, xl, xxl
    #[arg(long, value_parser = parse_preset, value_name = "SIZE")]
    model: Preset,
    /// Number of accelerators
    #[arg(long, value_name = "N")]
    gpus: NonZeroU64,
    /// Accelerator: a100, h100, h200, b200, mi250x (a die), mi300x
    #[arg(long, default_value = "h100", value_parser = parse_gpu, value_name = "NAME")]
    gpu: Gpu,
    /// Objects in a step, over all accelerators
    #[arg(long, default_value_t = number(PUBLISHED_BATCH), value_name = "N")]
    batch: NonZeroU64,
    /// Steps
    #[arg(long, default_value_t = number(PUBLISHED_STEPS), value_name = "N")]
    steps: NonZeroU64,
    /// What is shared among accelerators: 0 nothing, 1 optimiser states, 2 gradients too,
    /// 3 parameters too
    #[arg(long, default_value = "2", value_parser = parse_zero, value_name = "0..3")]
    zero: Zero,
    /// Recompute blocks in the backward pass instead of keeping their activations
    #[arg(long)]
    checkpointing: bool,
    /// Share of the peak that the arithmetic reaches
    #[arg(long, default_value_t = PUBLISHED_MFU, value_parser = parse_share, value_name = "SHARE")]
    mfu: f64,
    /// Price of an accelerator for an hour
    #[arg(long, value_parser = parse_price, value_name = "PER_HOUR")]
    price: Option<f64>,
    /// Print the plan as JSON
    #[arg(long)]
    json: bool,
}

fn number(value: u64) -> NonZeroU64 {
    NonZeroU64::new(value).unwrap_or(NonZeroU64::MIN)
}

fn parse_preset(text: &str) -> Result<Preset, String> {
    let names = Preset::ALL.map(Preset::name).join(", ");
    Preset::from_name(text).ok_or_else(|| format!("expected one of {names}"))
}

fn parse_gpu(text: &str) -> Result<Gpu, String> {
    let names = GPUS.map(|gpu| gpu.name).join(", ");
    Gpu::from_name(text).ok_or_else(|| format!("expected one of {names}"))
}

fn parse_zero(text: &str) -> Result<Zero, String> {
    let stage = text.parse().ok().and_then(Zero::from_number);
    stage.ok_or_else(|| "expected 0, 1, 2 or 3".to_owned())
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share = text
        .parse()
        .ok()
        .filter(|share| *share > 0.0 && *share <= 1.0);
    share.ok_or_else(|| "expected a number above 0, at most 1".to_owned())
}

fn parse_price(text: &str) -> Result<f64, String> {
    let price = text.parse().ok();
    let price = price.filter(|price: &f64| *price >= 0.0 && price.is_finite());
    price.ok_or_else(|| "expected a number, 0 or more".to_owned())
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<()> {
    if args.batch < args.gpus {
        let (batch, gpus) = (args.batch, args.gpus);
        return Err(usage(format!(
            "--batch {batch}: fewer objects than --gpus {gpus}"
        )));
    }
    let request = Request {
        gpu: args.gpu,
        gpus: args.gpus,
        batch: args.batch,
        steps: args.steps,
        zero: args.zero,
        checkpointing: args.checkpointing,
        mfu: args.mfu,
        price: args.price,
    };
    let plan = plan(&args.model.config(), &request);
    if args.json {
        return print_json(&in_json(args.model, &request, &plan)?);
    }
    print(args.model, &request, &plan)
}

/// The plan beside what was asked.
fn in_json(model: Preset, request: &Request, plan: &Plan) -> anyhow::Result<Value> {
    let mut all = json!({
        "model": model.name(),
        "gpu": request.gpu,
        "gpus": request.gpus,
        "batch": request.batch,
        "steps": request.steps,
        "zero": request.zero,
        "checkpointing": request.checkpointing,
        "mfu": request.mfu,
        "price": request.price,
    });
    if let (Value::Object(all), Value::Object(plan)) = (&mut all, serde_json::to_value(plan)?) {
        all.extend(plan);
    }
    Ok(all)
}

fn print(model: Preset, request: &Request, plan: &Plan) -> anyhow::Result<()> {
    let (name, gpu) = (model.name(), request.gpu.name);
    let millions = plan.parameters as f64 / 1e6;
    let gpus = request.gpus;
    print_text(&format!(
        "{name}: {millions:.1} M parameters on {gpus} {gpu}\n"
    ))?;
    print_memory(request, plan)?;
    print_time(plan)?;
    let (objects, passes) = (plan.objects, plan.passes);
    let share = 100.0 * request.mfu;
    print_text(&format!(
        "the longest counts; arithmetic at {share:.0} % of the peak, {objects} objects on the busiest \
         device in {}\n",
        if passes == 1 {
            "1 pass".to_owned()
        } else {
            format!("{passes} passes")
        }
    ))?;
    print_text(&format!(
        "{} steps: {:.1} hours, {:.0} GPU-hours{}",
        request.steps,
        plan.hours,
        plan.gpu_hours,
        plan.cost
            .map_or_else(String::new, |cost| format!(", cost {cost:.0}"))
    ))?;
    if plan.fits {
        return Ok(());
    }
    print_text(
        "DOES NOT FIT: not even one object at a time; times are of a device with more memory",
    )
}

fn print_memory(request: &Request, plan: &Plan) -> anyhow::Result<()> {
    let heads = [
        "GB on a device",
        "parameters",
        "gradients",
        "optimiser",
        "together",
        "",
    ];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    rows.extend(plan.state.iter().map(|state| {
        let planned = state.zero == request.zero;
        vec![
            format!("ZeRO-{}", u8::from(state.zero)),
            gigabytes(state.parameters),
            gigabytes(state.gradients),
            gigabytes(state.optimizer),
            gigabytes(state.total()),
            if planned { "planned" } else { "" }.to_owned(),
        ]
    }));
    print_table(&rows)?;
    let kept = plan.objects.div_ceil(plan.passes);
    let how = if request.checkpointing {
        "with"
    } else {
        "without"
    };
    print_text(&format!(
        "activations of an object: {} GB, {} GB with checkpointing\nin all: {} of {} GB, with {} \
         {how} checkpointing\n",
        gigabytes(plan.activations.kept),
        gigabytes(plan.activations.checkpointed),
        gigabytes(plan.memory),
        gigabytes(plan.available),
        counted(usize::try_from(kept)?, "object"),
    ))
}

fn print_time(plan: &Plan) -> anyhow::Result<()> {
    let row = |name: &str, amount: String, seconds: f64| {
        vec![name.to_owned(), format!("{seconds:.4}"), amount]
    };
    let tera = |operations: f64| format!("{:.1} TFLOP", operations / 1e12);
    let sent = |bytes: f64| format!("{} GB", gigabytes(bytes));
    print_table(&[
        ["a step", "seconds", "of a device"]
            .map(str::to_owned)
            .to_vec(),
        row("arithmetic", tera(plan.operations), plan.seconds.arithmetic),
        row("memory traffic", sent(plan.traffic), plan.seconds.memory),
        row(
            "communication",
            sent(plan.volume),
            plan.seconds.communication,
        ),
    ])
}

fn gigabytes(bytes: f64) -> String {
    format!("{:.2}", bytes / 1e9)
}
