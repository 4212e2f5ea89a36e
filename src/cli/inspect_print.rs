//! What `vit-mae inspect` prints.

use super::{outln, visible};
use vit_mae::audit::inspect::{Architecture, Inspection, Provenance, Row, Transformer};

/// Architecture, provenance, then a line a tensor.
pub(crate) fn print(inspection: &Inspection) {
    outln!("{}\n", inspection.path.display());
    print_architecture(&inspection.architecture);
    outln!();
    print_provenance(&inspection.provenance);
    let widest = inspection.tensors.iter().map(|row| row.name.len()).max().unwrap_or(0);
    outln!(
        "\n{:<widest$}  role      shape             decay  layer       mean       std       min       max   zeros",
        "tensor"
    );
    inspection.tensors.iter().for_each(|row| print_row(row, widest));
    let not_finite: Vec<_> = inspection.tensors.iter().filter(|row| row.stats.not_finite > 0).collect();
    if !not_finite.is_empty() {
        outln!();
    }
    for row in not_finite {
        outln!("not finite: {} of {} values of {}", row.stats.not_finite, row.stats.count, row.name);
    }
    let depth = inspection.architecture.encoder.depth;
    if !inspection.architecture.classes.is_empty() {
        outln!(
            "\ndecay: whether weight decay falls on it (fixed: not trained). The learning rate of layer l is scaled by"
        );
        outln!("d^({} − l) for the layer-wise decay d.", depth + 1);
        return;
    }
    outln!(
        "\ndecay: whether weight decay falls on it in pre-training (fixed: not trained). The learning rate has the same \
         scale, 1, for all\ntensors there; fine-tuning scales it by d^({} − layer) for a layer-wise decay d.",
        depth + 1
    );
}

fn print_architecture(a: &Architecture) {
    let size = match a.img_size {
        Some([height, width]) => format!("{height}×{width}×{}", a.in_chans),
        None => format!("images of {} channels", a.in_chans),
    };
    let transformer = |t: &Transformer| {
        let heads = t.heads.map_or("heads unknown".to_owned(), |heads| format!("{heads} heads"));
        format!("width {}, {} blocks, {heads}, MLP {}", t.width, t.depth, t.hidden)
    };
    outln!("model       {}: {size} in {} patches of {}", a.kind, a.num_patches, a.patch_size);
    outln!("encoder     {}; {} parameters", transformer(&a.encoder), a.encoder_parameters);
    if let Some(decoder) = &a.decoder {
        outln!("decoder     {}; {} parameters", transformer(decoder), a.parameters - a.encoder_parameters);
    }
    if !a.classes.is_empty() {
        outln!("classes     {}: {}", a.classes.len(), visible(&a.classes.join(", ")));
    }
    if let Some(norm_pix_loss) = a.norm_pix_loss {
        outln!("target      {}", if norm_pix_loss { "pixels normalised patch by patch" } else { "pixels" });
    }
    outln!("parameters  {}, {} of them trained", a.parameters, a.trained);
}

fn print_provenance(p: &Provenance) {
    let known = |value: &Option<String>| value.clone().unwrap_or_else(|| "not recorded".to_owned());
    let number = |value: Option<u64>| known(&value.map(|n| n.to_string()));
    outln!("written by  {}", known(&p.program));
    outln!("step        {}", number(p.step));
    outln!("epoch       {}", number(p.epoch));
    outln!("seed        {}", number(p.seed));
    outln!("settings    {}", known(&p.config_digest));
    outln!("data        {}", known(&p.data_digest));
    outln!("weights     {}", p.weights_checksum);
    if let Some(wrapping) = &p.wrapping {
        outln!("names       as a wrapper of the model has them; taken off: {}", visible(wrapping));
    }
    if !p.losses.is_empty() {
        let losses: Vec<String> = p.losses.iter().map(|(name, loss)| format!("{name} {loss:.4}")).collect();
        outln!("loss        {}", losses.join(", "));
    }
    for (i, link) in p.chain.iter().enumerate() {
        let head = if i == 0 { "chain" } else { "" };
        let step = link.step.map_or("a state that cannot be read".to_owned(), |step| format!("step {step}"));
        let weights = link.weights_checksum.as_deref().unwrap_or("-");
        outln!("{head:<11} {step}, weights {weights}, {}", link.path.display());
    }
}

fn print_row(row: &Row, widest: usize) {
    let shape = format!("{:?}", row.shape);
    let decay = if !row.trained {
        "fixed"
    } else if row.decayed {
        "yes"
    } else {
        "no"
    };
    let layer = row.layer.map_or("-".to_owned(), |layer| layer.to_string());
    let s = &row.stats;
    outln!(
        "{:<widest$}  {:<8}  {shape:<16}  {decay:<5}  {layer:>5}  {:>9}  {:>8}  {:>8}  {:>8}  {:>4.1} %",
        visible(&row.name),
        row.role,
        short(s.mean),
        short(s.std),
        short(s.min),
        short(s.max),
        100.0 * s.zeros,
    );
}

/// A number in at most nine letters.
fn short(x: f64) -> String {
    if x == 0.0 {
        "0".to_owned()
    } else if (1e-3..1e4).contains(&x.abs()) {
        format!("{x:.4}")
    } else {
        format!("{x:.1e}")
    }
}
