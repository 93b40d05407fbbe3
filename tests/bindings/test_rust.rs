// SPDX-License-Identifier: MIT
//! The Rust binding: layouts as the header's, errors, callbacks, the same bits after a stop. BNNEP_LAYOUT: what
//! header.py prints; BNNEP_SAMPLE: the sample of MNIST.
#[path = "../../bindings/rust/bnnep.rs"]
mod bnnep;

use bnnep::{fc, ffi, Context, Dataset, Network, Optimizer, Part, Rate, Rates};
use std::panic::{catch_unwind, AssertUnwindSafe};

fn variable(name: &str) -> String {
    std::env::var(name).expect(name)
}

fn data() -> Dataset {
    let whole = Dataset::open(&variable("BNNEP_SAMPLE"), Part::Training, None).unwrap();
    whole.subset(0, 200).unwrap() // keeps the memory of the whole
}

fn small() -> Network {
    let mut options = ffi::NetworkOptions::init();
    options.input_height = 28;
    options.input_width = 28;
    Network::new(options, &[fc(20), fc(10)], None).unwrap()
}

fn optimizer(network: &mut Network) -> Optimizer<'_> {
    let rates =
        Rates { gamma: &[1e-4, 1e-5], threshold: &[5e-7, 5e-7], lr_bias: &[0.05, 0.025], lr_alpha: None };
    Optimizer::new(network, rates, ffi::OptimizerOptions::init()).unwrap()
}

#[test]
fn layouts() {
    let header = std::fs::read_to_string(variable("BNNEP_LAYOUT")).unwrap();
    let structures = [
        ("context_options", std::mem::size_of::<ffi::ContextOptions>(), ffi::ContextOptions::layout()),
        ("dataset_options", std::mem::size_of::<ffi::DatasetOptions>(), ffi::DatasetOptions::layout()),
        ("open_options", std::mem::size_of::<ffi::OpenOptions>(), ffi::OpenOptions::layout()),
        ("dataset_info", std::mem::size_of::<ffi::DatasetInfo>(), ffi::DatasetInfo::layout()),
        ("connection", std::mem::size_of::<ffi::Connection>(), ffi::Connection::layout()),
        ("network_options", std::mem::size_of::<ffi::NetworkOptions>(), ffi::NetworkOptions::layout()),
        ("network_info", std::mem::size_of::<ffi::NetworkInfo>(), ffi::NetworkInfo::layout()),
        ("connection_info", std::mem::size_of::<ffi::ConnectionInfo>(), ffi::ConnectionInfo::layout()),
        ("optimizer_options", std::mem::size_of::<ffi::OptimizerOptions>(), ffi::OptimizerOptions::layout()),
        ("report", std::mem::size_of::<ffi::Report>(), ffi::Report::layout()),
        ("progress", std::mem::size_of::<ffi::Progress>(), ffi::Progress::layout()),
        ("run_options", std::mem::size_of::<ffi::RunOptions>(), ffi::RunOptions::layout()),
    ];
    for (name, size, fields) in structures {
        let first = format!("field bnnep_{}.size 0 {}", name, std::mem::size_of::<usize>());
        let mut lines = vec![format!("sizeof bnnep_{} {}", name, size), first];
        for (field, offset, bytes) in fields {
            let field = if field == "kind" && name == "dataset_options" { "type" } else { field };
            lines.push(format!("field bnnep_{}.{} {} {}", name, field, offset, bytes));
        }
        let prefixes = (format!("sizeof bnnep_{} ", name), format!("field bnnep_{}.", name));
        let wanted: Vec<&str> =
            header.lines().filter(|line| line.starts_with(&prefixes.0) || line.starts_with(&prefixes.1)).collect();
        assert_eq!(lines, wanted);
    }
}

#[test]
fn stops_and_goes_on_to_the_same_bits() {
    let (data, mut first, mut second) = (data(), small(), small());
    let mut seen = Vec::new();
    let whole = optimizer(&mut first)
        .train_epoch(&data, 20, &mut |now| {
            if now.event == ffi::EVENT_BATCH {
                seen.push((now.batches_done, now.samples_done, unsafe { (*now.so_far).samples }));
            }
            false
        })
        .unwrap();
    assert_eq!(seen, (1..=10).map(|batch| (batch, 20 * batch, 20 * batch)).collect::<Vec<_>>());
    assert_eq!((whole.samples, whole.batches, whole.flips.len()), (200, 10, 2));
    assert!(whole.flips[0] > 0);
    let mut other = optimizer(&mut second);
    let error = other.train_epoch(&data, 20, &mut |now| now.batches_done == 3).err().unwrap();
    assert_eq!(error.status, bnnep::CANCELLED);
    let rest = other.train_epoch(&data, 20, &mut |_| false).unwrap();
    assert_eq!((rest.errors, rest.flips), (whole.errors, whole.flips));
    assert_eq!(first.signs(0).unwrap(), second.signs(0).unwrap());
}

#[test]
fn needs_no_rates() {
    let (data, mut network) = (data(), small());
    let mut learns = Optimizer::by_default(&mut network, ffi::OptimizerOptions::init()).unwrap();
    assert_eq!(learns.rate(Rate::Threshold).unwrap(), [0.7, 0.7]);
    assert_eq!(learns.train_epoch(&data, 20, &mut |_| false).unwrap().samples, 200);
}

#[test]
fn evaluates() {
    let (data, network) = (data(), small());
    let (inputs, labels) = data.read(0, 200).unwrap();
    let report = network.evaluate(&data).unwrap();
    assert_eq!(network.predict(&inputs).unwrap(), report.predictions);
    let wrong = report.predictions.iter().zip(&labels).filter(|(class, label)| class != label).count() as u64;
    assert_eq!(report.errors, wrong);
    assert_eq!((0..10).map(|class| report.confusion[11 * class]).sum::<u64>(), 200 - wrong);
    let vectors = Dataset::from_vectors(&inputs, 784, &labels, None).unwrap();
    assert_eq!(network.evaluate(&vectors).unwrap().errors, wrong);
    let unnamed = Dataset::from_vectors(&inputs, 784, &[], None).unwrap();
    assert_eq!(network.evaluate(&unnamed).unwrap().predictions, report.predictions);
}

#[test]
fn contexts_and_files() {
    let file = std::env::temp_dir().join(format!("bnnep-rust-{}", std::process::id()));
    let network = small();
    network.save(file.to_str().unwrap()).unwrap();
    let slow = Context::new("ref", 1).unwrap();
    let loaded = Network::load(file.to_str().unwrap(), Some(&slow));
    std::fs::remove_file(file).unwrap();
    let loaded = loaded.unwrap();
    let backend = unsafe { std::ffi::CStr::from_ptr(loaded.info().unwrap().backend) };
    assert_eq!(backend.to_str().unwrap(), "ref");
    assert_eq!(loaded.signs(1).unwrap(), network.signs(1).unwrap());
}

#[test]
fn rates() {
    let mut network = small();
    let mut learns = optimizer(&mut network);
    assert_eq!(learns.rate(Rate::Threshold).unwrap(), [5e-7, 5e-7]);
    learns.set_rate(Rate::Beta, &[0.25]).unwrap();
    assert_eq!(learns.rate(Rate::Beta).unwrap(), [0.25]);
    assert_eq!(learns.set_rate(Rate::Alpha, &[0.1, 0.1]).err().unwrap().status, -1);
}

#[test]
fn a_panic_comes_out_of_the_call() {
    let (data, mut network) = (data(), small());
    let mut learns = optimizer(&mut network);
    let caught = catch_unwind(AssertUnwindSafe(|| learns.train_epoch(&data, 20, &mut |_| panic!("mine"))));
    assert_eq!(*caught.err().unwrap().downcast::<&str>().unwrap(), "mine");
    learns.train_epoch(&data, 20, &mut |_| false).unwrap();
}

#[test]
fn errors() {
    let refused = |error: Option<bnnep::Error>, status, says: &str| {
        let error = error.expect(says);
        assert_eq!(error.status, status);
        assert!(error.message.contains(says), "{}", error);
    };
    refused(Dataset::open("/nowhere", Part::Test, None).err(), -3, "/nowhere");
    refused(data().subset(150, 51).err(), -1, "200");
    refused(Dataset::from_vectors(&[0.5, f32::NAN], 1, &[0, 1], None).err(), -5, "nan");
    refused(Network::new(ffi::NetworkOptions::init(), &[], None).err(), -1, "connection");
    refused(Context::new("gpu", 0).err(), -7, "gpu");
    refused(Network::load("/nowhere", None).err(), -3, "/nowhere");
    refused(small().save("a\0b").err(), -1, "zero byte");
}
