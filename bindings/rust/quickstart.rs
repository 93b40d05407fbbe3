// SPDX-License-Identifier: MIT
//! quickstart.c in Rust: trains on the sample of MNIST and tests.
//!
//!     rustc --edition 2021 -O -L FOLDER_OF_LIBBNNEP bindings/rust/quickstart.rs
//!     ./quickstart FOLDER [UNITS [EPOCHS]]      a folder with MNIST's four files
mod bnnep;

use bnnep::{fc, ffi, Dataset, Network, Optimizer, Part, Rates};

extern "C" {
    fn isatty(file: i32) -> i32;
}

fn run(folder: &str, units: i32, epochs: u32) -> bnnep::Result<()> {
    let train = Dataset::open(folder, Part::Training, None)?;
    let test = Dataset::open(folder, Part::Test, None)?;

    let mut options = ffi::NetworkOptions::init();
    options.input_height = 28;
    options.input_width = 28;
    let mut network = Network::new(options, &[fc(units), fc(10)], None)?;
    let rates =
        Rates { gamma: &[1e-4, 1e-5], threshold: &[5e-7, 5e-7], lr_bias: &[0.05, 0.025], lr_alpha: None };
    let mut optimizer = Optimizer::new(&mut network, rates, ffi::OptimizerOptions::init())?;

    for epoch in 1..=epochs {
        let report = optimizer.train_epoch(&train, 0, &mut |now| {
            // not in logs and pipes
            if now.event == ffi::EVENT_BATCH && unsafe { isatty(2) } != 0 {
                eprint!("\r{} of {} batches\r", now.batches_done, now.batches_total);
            }
            false
        })?;
        let tested = optimizer.network.evaluate(&test)?;
        println!(
            "epoch {}: training error {:.2} %, test error {:.2} %, flips {:?}",
            epoch, 100.0 * report.error(), 100.0 * tested.error(), report.flips
        );
    }
    Ok(())
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |place: usize, or: i32| arguments.get(place).and_then(|text| text.parse().ok()).unwrap_or(or);
    let folder = arguments.get(1).unwrap_or_else(|| {
        eprintln!("usage: {} FOLDER [UNITS [EPOCHS]]", arguments[0]);
        std::process::exit(2)
    });
    if let Err(error) = run(folder, number(2, 4096), number(3, 5) as u32) {
        eprintln!("{}: {}", arguments[0], error);
        std::process::exit(1);
    }
}
