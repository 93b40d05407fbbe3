// SPDX-License-Identifier: MIT
//! libbnnep from Rust, without a crate: the part of the C interface that training needs, and safe types over it.
#![allow(dead_code)]

use std::any::Any;
use std::ffi::{CStr, CString};
use std::fmt;
use std::os::raw::{c_char, c_void};
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::ptr::{null, null_mut, NonNull};

/// bnnep.h and inside.h as they are. A test compares sizes and offsets with the headers'.
pub mod ffi {
    use super::*;

    /// A structure that opens with its size. All else is 0, the library's default.
    macro_rules! structure {
        ($name:ident { $($field:ident: $kind:ty),* $(,)? }) => {
            #[repr(C)]
            #[derive(Clone, Copy)]
            pub struct $name { pub size: usize, $(pub $field: $kind),* }
            impl $name {
                pub fn init() -> Self {
                    // numbers, pointers and optional functions: zero is a value of each
                    Self { size: std::mem::size_of::<Self>(), ..unsafe { std::mem::zeroed() } }
                }
                /// Name, offset and size of each field behind `size`.
                pub fn layout() -> Vec<(&'static str, usize, usize)> {
                    let made = Self::init();
                    let start = &made as *const Self as usize;
                    vec![$((stringify!($field), &made.$field as *const $kind as usize - start,
                            std::mem::size_of::<$kind>())),*]
                }
            }
        };
    }

    pub type Pointer = *mut c_void;
    pub type Out = *mut Pointer;
    pub type Free = unsafe extern "C" fn(Pointer);
    pub type LogFn = Option<unsafe extern "C" fn(*mut c_void, i32, *const c_char)>;
    pub type MemoryFn = Option<unsafe extern "C" fn()>; // not given from here
    pub type ProgressFn = Option<unsafe extern "C" fn(*mut c_void, *const Progress) -> i32>;

    structure!(ContextOptions {
        backend: *const c_char, module_path: *const c_char, log: LogFn, log_user: *mut c_void, allocate: MemoryFn,
        release: MemoryFn, memory_user: *mut c_void, max_bytes: u64, file_network: u64, file_unpacked: u64,
        file_header: u64, threads: i32, file_steps: i32,
    });
    structure!(DatasetOptions { kind: i32, channels: i32, height: i32, width: i32, classes: i32, borrow: i32 });
    structure!(OpenOptions { labels: *const c_void, format: i32, part: i32, classes: i32, reserved: i32 });
    structure!(DatasetInfo {
        mean: *const f32, deviation: *const f32, count: u64, channels: i32, height: i32, width: i32, classes: i32,
        labelled: i32, reserved: i32,
    });
    structure!(Connection {
        kind: i32, outputs: i32, kernel: i32, padding: i32, pool: i32, from: i32, to: i32, reserved: i32,
    });
    structure!(NetworkOptions {
        connections: *const Connection, connection_count: usize, theta: f64, gamma_neur: f64, settle_tolerance: f64,
        seed: u64, dynamics: i32, input_channels: i32, input_height: i32, input_width: i32, classes: i32,
        expand_output: i32, free_steps: i32, max_batch: i32, grid_bits: i32, schedule: i32,
        start: i32, feedback: f32,
    });
    structure!(NetworkInfo {
        backend: *const c_char, connection_count: usize, layer_count: usize, inputs: u64, outputs: u64, weights: u64,
        theta: f64, gamma_neur: f64, settle_tolerance: f64, dynamics: i32, classes: i32, expand_output: i32,
        max_batch: i32, free_steps: i32, grid_bits: i32, input_channels: i32, input_height: i32, input_width: i32,
        schedule: i32, feedback: f32, reserved: i32,
    });
    structure!(ConnectionInfo {
        rows: u64, columns: u64, scales: u64, units: u64, channels: u64, height: u64, width: u64, kind: i32,
        kernel: i32, padding: i32, pool: i32, from: i32, to: i32,
    });
    structure!(OptimizerOptions {
        gamma: *const f64, threshold: *const f64, lr_bias: *const f64, lr_alpha: *const f64, connection_count: usize,
        beta: f64, seed: u64, method: i32, nudged_steps: i32, nudge: i32, keep_order: i32,
        fall_to: f64, fall_updates: u64, threshold_kind: i32, rate_kind: i32, fall: i32, flip_reset: i32,
        covariance: i32, consolidation: f32,
    });
    structure!(Report {
        flips: *mut u64, flips_count: usize, confusion: *mut u64, confusion_count: usize, predictions: *mut i32,
        predictions_count: usize, samples: u64, batches: u64, errors: u64, errors_single: u64, loss: f64,
        steps_free: f64, steps_nudged: f64, seconds: f64,
        seconds_stage: f64, seconds_free: f64, seconds_nudged: f64, seconds_learn: f64, steps_free_max: i32, steps_nudged_max: i32,
        edges: *mut f64, contrasts: *mut f64,
    });
    structure!(Progress {
        so_far: *const Report, batches_done: u64, batches_total: u64, samples_done: u64, event: i32, reserved: i32,
    });
    structure!(RunOptions {
        workspace: *mut c_void, progress: ProgressFn, user: *mut c_void, interrupt: *const i32, batch_size: usize,
        readout: i32, reserved: i32,
    });

    pub const EVENT_BATCH: i32 = 1;

    #[link(name = "bnnep")]
    extern "C" {
        pub fn bnnep_last_error() -> *const c_char;
        pub fn bnnep_context_create(options: *const ContextOptions, out: Out) -> i32;
        pub fn bnnep_context_free(context: Pointer);
        pub fn bnnep_dataset_from_memory(
            context: Pointer, options: *const DatasetOptions, inputs: *const c_void, labels: *const i32, count: u64,
            out: Out,
        ) -> i32;
        pub fn bnnep_dataset_open(context: Pointer, path: *const c_char, options: *const OpenOptions, out: Out) -> i32;
        pub fn bnnep_dataset_subset(data: Pointer, first: u64, count: u64, out: Out) -> i32;
        pub fn bnnep_dataset_get_info(data: Pointer, info: *mut DatasetInfo) -> i32;
        pub fn bnnep_dataset_read(data: Pointer, first: u64, count: usize, inputs: *mut f32, labels: *mut i32) -> i32;
        pub fn bnnep_dataset_free(data: Pointer);
        pub fn bnnep_network_create(context: Pointer, options: *const NetworkOptions, out: Out) -> i32;
        pub fn bnnep_network_load(context: Pointer, path: *const c_char, options: *const c_void, out: Out) -> i32;
        pub fn bnnep_network_get_info(net: Pointer, info: *mut NetworkInfo) -> i32;
        pub fn bnnep_network_get_connection(net: Pointer, index: usize, info: *mut ConnectionInfo) -> i32;
        pub fn bnnep_network_get_signs(net: Pointer, index: usize, signs: *mut i8, count: usize) -> i32;
        pub fn bnnep_network_save(net: Pointer, path: *const c_char, note: *const c_char) -> i32;
        pub fn bnnep_network_free(net: Pointer);
        pub fn bnnep_optimizer_create(net: Pointer, options: *const OptimizerOptions, out: Out) -> i32;
        pub fn bnnep_optimizer_get_rates(optimizer: Pointer, which: i32, values: *mut f64, count: usize) -> i32;
        pub fn bnnep_optimizer_set_rates(optimizer: Pointer, which: i32, values: *const f64, count: usize) -> i32;
        pub fn bnnep_optimizer_free(optimizer: Pointer);
        pub fn bnnep_optimizer_train_epoch(
            optimizer: Pointer, data: Pointer, run: *const RunOptions, report: *mut Report,
        ) -> i32;
        pub fn bnnep_network_evaluate(net: Pointer, data: Pointer, run: *const RunOptions, report: *mut Report) -> i32;
        pub fn bnnep_network_predict(
            net: Pointer, inputs: *const f32, count: u64, run: *const RunOptions, scores: *mut f32, classes: *mut i32,
        ) -> i32;
    }
}

/// A call that failed: its status, and the library's message.
#[derive(Debug)]
pub struct Error {
    pub status: i32,
    pub message: String,
}

pub const CANCELLED: i32 = -9;

impl fmt::Display for Error {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

pub type Result<T> = std::result::Result<T, Error>;

fn check(status: i32) -> Result<()> {
    if status == 0 {
        return Ok(());
    }
    let message = unsafe { CStr::from_ptr(ffi::bnnep_last_error()) };
    Err(Error { status, message: message.to_string_lossy().into_owned() })
}

/// What a call fills in.
fn filled<T>(mut info: T, call: impl FnOnce(&mut T) -> i32) -> Result<T> {
    check(call(&mut info))?;
    Ok(info)
}

fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error { status: -1, message: format!("a zero byte in {:?}", text) })
}

/// Owns a C handle. Not Clone; like all handles, it may be moved to another thread, but not be shared with one.
struct Handle {
    pointer: NonNull<c_void>,
    free: ffi::Free,
}

unsafe impl Send for Handle {}

impl Handle {
    fn create(free: ffi::Free, call: impl FnOnce(ffi::Out) -> i32) -> Result<Handle> {
        let mut out = null_mut();
        check(call(&mut out))?;
        Ok(Handle { pointer: NonNull::new(out).expect("a handle was made"), free })
    }

    fn get(&self) -> *mut c_void {
        self.pointer.as_ptr()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        unsafe { (self.free)(self.get()) }
    }
}

pub enum Part { Training, Test }

#[derive(Clone, Copy, PartialEq)]
pub enum Rate { Gamma, Threshold, Bias, Alpha, Beta }

/// A backend and its threads. Without one, a handle gets its own, of all defaults.
pub struct Context(Handle);

unsafe impl Sync for Context {} // any number of threads may share one

impl Context {
    /// "auto" or a backend's name; 0 threads are as many as the process may use processors.
    pub fn new(backend: &str, threads: i32) -> Result<Context> {
        let backend = c_string(backend)?;
        let options = ffi::ContextOptions { backend: backend.as_ptr(), threads, ..ffi::ContextOptions::init() };
        Handle::create(ffi::bnnep_context_free, |out| unsafe { ffi::bnnep_context_create(&options, out) }).map(Context)
    }
}

fn pointer(context: Option<&Context>) -> *mut c_void {
    context.map_or(null_mut(), |context| context.0.get())
}

/// A list of inputs, with labels or without.
pub struct Dataset(Handle);

impl Dataset {
    fn create(call: impl FnOnce(ffi::Out) -> i32) -> Result<Dataset> {
        Handle::create(ffi::bnnep_dataset_free, call).map(Dataset)
    }

    /// A part of a folder laid out as MNIST or CIFAR-10.
    pub fn open(folder: &str, part: Part, context: Option<&Context>) -> Result<Dataset> {
        let folder = c_string(folder)?;
        let options = ffi::OpenOptions { part: part as i32, ..ffi::OpenOptions::init() };
        Dataset::create(|out| unsafe { ffi::bnnep_dataset_open(pointer(context), folder.as_ptr(), &options, out) })
    }

    /// Vectors of so many values each, with a label each or none at all. They are copied.
    pub fn from_vectors(inputs: &[f32], values: i32, labels: &[i32], context: Option<&Context>) -> Result<Dataset> {
        let count = inputs.len() / values.max(1) as usize;
        if inputs.len() != count * values.max(1) as usize || !(labels.is_empty() || labels.len() == count) {
            return Err(Error { status: -1, message: "as many values are needed for each label".to_string() });
        }
        let options = ffi::DatasetOptions { channels: values, ..ffi::DatasetOptions::init() };
        let labels = if labels.is_empty() { null() } else { labels.as_ptr() };
        Dataset::create(|out| unsafe {
            let inputs = inputs.as_ptr() as *const c_void;
            ffi::bnnep_dataset_from_memory(pointer(context), &options, inputs, labels, count as u64, out)
        })
    }

    pub fn subset(&self, first: u64, count: u64) -> Result<Dataset> {
        Dataset::create(|out| unsafe { ffi::bnnep_dataset_subset(self.0.get(), first, count, out) })
    }

    pub fn info(&self) -> Result<ffi::DatasetInfo> {
        filled(ffi::DatasetInfo::init(), |info| unsafe { ffi::bnnep_dataset_get_info(self.0.get(), info) })
    }

    /// Inputs and labels of `count` samples from place `first` on; a label is -1 where there is none.
    pub fn read(&self, first: u64, count: usize) -> Result<(Vec<f32>, Vec<i32>)> {
        let info = self.info()?;
        let mut inputs = vec![0.0; count * (info.channels * info.height * info.width) as usize];
        let mut labels = vec![0; count];
        check(unsafe {
            ffi::bnnep_dataset_read(self.0.get(), first, count, inputs.as_mut_ptr(), labels.as_mut_ptr())
        })?;
        Ok((inputs, labels))
    }
}

/// A fully connected layer of so many units.
pub fn fc(outputs: i32) -> ffi::Connection {
    ffi::Connection { outputs, ..ffi::Connection::init() }
}

/// A convolution to so many channels, and max-pooling.
pub fn conv(outputs: i32, kernel: i32, padding: i32, pool: i32) -> ffi::Connection {
    ffi::Connection { kind: 1, outputs, kernel, padding, pool, ..ffi::Connection::init() }
}

/// What a training or an evaluation came to.
#[derive(Default)]
pub struct Report {
    pub samples: u64,
    pub batches: u64,
    pub errors: u64,
    pub loss: f64,
    pub seconds: f64,
    pub flips: Vec<u64>,       // training: weights flipped, of each connection
    pub confusion: Vec<u64>,   // evaluation: samples by class and prediction, row by row
    pub predictions: Vec<i32>, // evaluation: the class that each sample was taken for
}

impl Report {
    pub fn error(&self) -> f64 {
        self.errors as f64 / self.samples.max(1) as f64
    }
}

/// Called as work goes on; true stops it: the call fails with CANCELLED. A panic comes out of the call.
pub type Progress<'a> = &'a mut dyn FnMut(&ffi::Progress) -> bool;

struct Watcher<'a> {
    progress: Progress<'a>,
    panic: Option<Box<dyn Any + Send>>,
}

/// No panic may cross the library: it waits until the call is back.
unsafe extern "C" fn watch(user: *mut c_void, event: *const ffi::Progress) -> i32 {
    let watcher = &mut *(user as *mut Watcher);
    let stop = catch_unwind(AssertUnwindSafe(|| (watcher.progress)(&*event)));
    stop.unwrap_or_else(|panic| {
        watcher.panic = Some(panic);
        true
    }) as i32
}

/// `made` has arrays as long as what is wanted; the rest is filled in.
fn run(
    mut made: Report, batch_size: usize, progress: Progress,
    call: impl FnOnce(*const ffi::RunOptions, *mut ffi::Report) -> i32,
) -> Result<Report> {
    let mut report = ffi::Report::init();
    (report.flips, report.flips_count) = array(&mut made.flips);
    (report.confusion, report.confusion_count) = array(&mut made.confusion);
    (report.predictions, report.predictions_count) = array(&mut made.predictions);
    let mut watcher = Watcher { progress, panic: None };
    let user = &mut watcher as *mut Watcher as *mut c_void;
    let options = ffi::RunOptions { progress: Some(watch), user, batch_size, ..ffi::RunOptions::init() };
    let status = call(&options, &mut report);
    if let Some(panic) = watcher.panic {
        resume_unwind(panic);
    }
    check(status)?;
    let ffi::Report { samples, batches, errors, loss, seconds, .. } = report;
    Ok(Report { samples, batches, errors, loss, seconds, ..made })
}

fn array<T>(values: &mut [T]) -> (*mut T, usize) {
    (if values.is_empty() { null_mut() } else { values.as_mut_ptr() }, values.len())
}

pub struct Network(Handle);

impl Network {
    fn create(call: impl FnOnce(ffi::Out) -> i32) -> Result<Network> {
        Handle::create(ffi::bnnep_network_free, call).map(Network)
    }

    /// `options` with the connections filled in.
    pub fn new(
        mut options: ffi::NetworkOptions, connections: &[ffi::Connection], context: Option<&Context>,
    ) -> Result<Network> {
        options.connections = connections.as_ptr();
        options.connection_count = connections.len();
        Network::create(|out| unsafe { ffi::bnnep_network_create(pointer(context), &options, out) })
    }

    /// The network of a network file or a checkpoint.
    pub fn load(path: &str, context: Option<&Context>) -> Result<Network> {
        let path = c_string(path)?;
        Network::create(|out| unsafe { ffi::bnnep_network_load(pointer(context), path.as_ptr(), null(), out) })
    }

    pub fn info(&self) -> Result<ffi::NetworkInfo> {
        filled(ffi::NetworkInfo::init(), |info| unsafe { ffi::bnnep_network_get_info(self.0.get(), info) })
    }

    /// Signs of a connection, +1 and -1, row by row.
    pub fn signs(&self, index: usize) -> Result<Vec<i8>> {
        let info = filled(ffi::ConnectionInfo::init(), |info| unsafe {
            ffi::bnnep_network_get_connection(self.0.get(), index, info)
        })?;
        filled(vec![0; (info.rows * info.columns) as usize], |signs| unsafe {
            ffi::bnnep_network_get_signs(self.0.get(), index, signs.as_mut_ptr(), signs.len())
        })
    }

    /// Has confusion and predictions; of a data set without labels the latter alone.
    pub fn evaluate(&self, data: &Dataset) -> Result<Report> {
        let (classes, shape) = (self.info()?.classes as usize, data.info()?);
        let confusion = vec![0; if shape.labelled != 0 { classes * classes } else { 0 }];
        let made = Report { confusion, predictions: vec![0; shape.count as usize], ..Report::default() };
        run(made, 0, &mut |_| false, |options, report| unsafe {
            ffi::bnnep_network_evaluate(self.0.get(), data.0.get(), options, report)
        })
    }

    /// The class of each input.
    pub fn predict(&self, inputs: &[f32]) -> Result<Vec<i32>> {
        let count = inputs.len() / self.info()?.inputs as usize;
        filled(vec![0; count], |classes| unsafe {
            let classes = classes.as_mut_ptr();
            ffi::bnnep_network_predict(self.0.get(), inputs.as_ptr(), count as u64, null(), null_mut(), classes)
        })
    }

    pub fn save(&self, path: &str) -> Result<()> {
        let path = c_string(path)?;
        check(unsafe { ffi::bnnep_network_save(self.0.get(), path.as_ptr(), null()) })
    }
}

/// Learns a network that it borrows: Rust then knows that nobody else uses it meanwhile.
pub struct Optimizer<'a> {
    handle: Handle,
    pub network: &'a Network,
}

/// One value a connection, input first. Without lr_alpha the scaling factors stay as they are.
pub struct Rates<'a> {
    pub gamma: &'a [f64],
    pub threshold: &'a [f64],
    pub lr_bias: &'a [f64],
    pub lr_alpha: Option<&'a [f64]>,
}

impl<'a> Optimizer<'a> {
    pub fn new(network: &'a mut Network, rates: Rates, mut options: ffi::OptimizerOptions) -> Result<Optimizer<'a>> {
        options.connection_count = network.info()?.connection_count;
        for list in [rates.gamma, rates.threshold, rates.lr_bias, rates.lr_alpha.unwrap_or(rates.gamma)] {
            assert_eq!(list.len(), options.connection_count, "one rate a connection");
        }
        options.gamma = rates.gamma.as_ptr();
        options.threshold = rates.threshold.as_ptr();
        options.lr_bias = rates.lr_bias.as_ptr();
        options.lr_alpha = rates.lr_alpha.map_or(null(), |list| list.as_ptr());
        Self::create(network, options)
    }

    /// By the default rule, which needs no rates; it goes with networks whose `start` is 1, balanced.
    pub fn by_default(network: &'a mut Network, mut options: ffi::OptimizerOptions) -> Result<Optimizer<'a>> {
        (options.gamma, options.threshold, options.lr_bias, options.lr_alpha) = (null(), null(), null(), null());
        Self::create(network, options)
    }

    fn create(network: &'a Network, options: ffi::OptimizerOptions) -> Result<Optimizer<'a>> {
        let handle = Handle::create(ffi::bnnep_optimizer_free, |out| unsafe {
            ffi::bnnep_optimizer_create(network.0.get(), &options, out)
        })?;
        Ok(Optimizer { handle, network })
    }

    /// One value a connection; of `Rate::Beta` one.
    pub fn rate(&self, which: Rate) -> Result<Vec<f64>> {
        let count = if which == Rate::Beta { 1 } else { self.network.info()?.connection_count };
        filled(vec![0.0; count], |values| unsafe {
            ffi::bnnep_optimizer_get_rates(self.handle.get(), which as i32, values.as_mut_ptr(), count)
        })
    }

    /// Counts from the next batch on.
    pub fn set_rate(&mut self, which: Rate, values: &[f64]) -> Result<()> {
        check(unsafe {
            ffi::bnnep_optimizer_set_rates(self.handle.get(), which as i32, values.as_ptr(), values.len())
        })
    }

    /// A batch size of 0 is the network's max_batch.
    pub fn train_epoch(&mut self, data: &Dataset, batch_size: usize, progress: Progress) -> Result<Report> {
        let made = Report { flips: vec![0; self.network.info()?.connection_count], ..Report::default() };
        run(made, batch_size, progress, |options, report| unsafe {
            ffi::bnnep_optimizer_train_epoch(self.handle.get(), data.0.get(), options, report)
        })
    }
}
