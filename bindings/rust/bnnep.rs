// SPDX-License-Identifier: MIT
//! libbnnep from Rust, without a crate: the part of the C interface that training needs, and safe types over it.
#![allow(dead_code)]

use std::any::Any;
use std::ffi::{CStr, CString};
use std::fmt;
use std::os::raw::{c_char, c_int, c_void};
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::ptr::{null, null_mut, NonNull};

/// bnnep.h as it is. A test compares sizes and offsets with the header's.
pub mod ffi {
    use super::*;

    /// A structure and what its _INIT macro writes beside its size, which stands first; all else is 0.
    macro_rules! structure {
        ($name:ident { $($field:ident: $kind:ty),* $(,)? } $($preset:ident = $value:expr),*) => {
            #[repr(C)]
            #[derive(Clone, Copy)]
            pub struct $name { pub size: usize, $(pub $field: $kind),* }
            impl $name {
                pub fn init() -> Self {
                    // numbers, pointers and optional functions: zero is a value of each
                    let mut made: Self = unsafe { std::mem::zeroed() };
                    made.size = std::mem::size_of::<Self>();
                    $(made.$preset = $value;)*
                    made
                }
                /// Name, offset and size of each field.
                pub fn layout() -> Vec<(&'static str, usize, usize)> {
                    let made = Self::init();
                    let start = &made as *const Self as usize;
                    vec![
                        ("size", &made.size as *const usize as usize - start, std::mem::size_of::<usize>()),
                        $((stringify!($field), &made.$field as *const $kind as usize - start,
                           std::mem::size_of::<$kind>())),*
                    ]
                }
            }
        };
    }

    pub type LogFn = Option<unsafe extern "C" fn(*mut c_void, i32, *const c_char)>;
    pub type ProgressFn = Option<unsafe extern "C" fn(*mut c_void, *const Progress) -> i32>;

    structure!(DatasetOptions { kind: i32, channels: i32, height: i32, width: i32, classes: i32, copy: i32 }
        height = 1, width = 1, copy = 1);
    structure!(DatasetInfo {
        count: u64, channels: i32, height: i32, width: i32, classes: i32, mean: *const f32, deviation: *const f32,
    });
    structure!(Connection { kind: i32, outputs: i32, kernel: i32, padding: i32, pool: i32, reserved: i32 });
    structure!(NetworkOptions {
        dynamics: i32, input_channels: i32, input_height: i32, input_width: i32, classes: i32, expand_output: i32,
        connections: *const Connection, connection_count: usize, theta: f32, gamma_neur: f32, free_steps: i32,
        settle_tolerance: f32, max_batch: i32, seed: u64, backend: *const c_char, log: LogFn, log_user: *mut c_void,
        grid_bits: i32, reserved: i32,
    } input_height = 1, input_width = 1, classes = 10, expand_output = 1, theta = 0.5, gamma_neur = 0.5,
        free_steps = 50, max_batch = 64);
    structure!(NetworkInfo {
        backend: *const c_char, connections: usize, inputs: u64, outputs: u64, weights: u64, dynamics: i32,
        classes: i32, expand_output: i32, max_batch: i32, free_steps: i32, settle_tolerance: f32, input_channels: i32,
        input_height: i32, input_width: i32, grid_bits: i32, theta: f32, gamma_neur: f32,
    });
    structure!(ConnectionInfo {
        kind: i32, rows: u64, columns: u64, scales: u64, units: u64, channels: u64, height: u64, width: u64,
        kernel: i32, padding: i32, pool: i32, reserved: i32,
    });
    structure!(OptimizerOptions {
        method: i32, nudged_steps: i32, beta: f32, random_beta: i32, gamma: *const f64, threshold: *const f64,
        lr_bias: *const f64, lr_alpha: *const f64, shuffle: i32, seed: u64, momentum_noise: i32, reserved: i32,
    } nudged_steps = 10, beta = 0.3, random_beta = 1, shuffle = 1);
    structure!(Report {
        samples: u64, batches: u64, loss: f64, errors: u64, errors_single: u64, steps_free: f64, steps_nudged: f64,
        steps_free_max: u32, steps_nudged_max: u32, seconds: f64, flips: *mut u64, flips_count: usize,
    });
    structure!(Progress { event: i32, batch: u64, batches: u64, samples: u64, so_far: *const Report });

    pub const EVENT_BATCH: i32 = 1;

    #[link(name = "bnnep")]
    extern "C" {
        pub fn bnnep_last_error() -> *const c_char;
        pub fn bnnep_status_name(status: c_int) -> *const c_char;
        pub fn bnnep_dataset_from_memory(
            options: *const DatasetOptions, inputs: *const c_void, labels: *const i32, count: u64,
            out: *mut *mut c_void,
        ) -> c_int;
        pub fn bnnep_dataset_from_folder(folder: *const c_char, part: i32, classes: i32, out: *mut *mut c_void)
            -> c_int;
        pub fn bnnep_dataset_subset(data: *const c_void, first: u64, count: u64, out: *mut *mut c_void) -> c_int;
        pub fn bnnep_dataset_get_info(data: *const c_void, info: *mut DatasetInfo) -> c_int;
        pub fn bnnep_dataset_read(
            data: *const c_void, first: u64, count: usize, inputs: *mut f32, labels: *mut i32,
        ) -> c_int;
        pub fn bnnep_dataset_free(data: *mut c_void);
        pub fn bnnep_network_create(options: *const NetworkOptions, out: *mut *mut c_void) -> c_int;
        pub fn bnnep_network_get_info(net: *const c_void, info: *mut NetworkInfo) -> c_int;
        pub fn bnnep_network_get_connection(net: *const c_void, index: usize, info: *mut ConnectionInfo) -> c_int;
        pub fn bnnep_network_get_signs(net: *const c_void, index: usize, signs: *mut i8, count: usize) -> c_int;
        pub fn bnnep_network_save(net: *const c_void, path: *const c_char, note: *const c_char) -> c_int;
        pub fn bnnep_network_free(net: *mut c_void);
        pub fn bnnep_optimizer_create(net: *mut c_void, options: *const OptimizerOptions, out: *mut *mut c_void)
            -> c_int;
        pub fn bnnep_optimizer_free(optimizer: *mut c_void);
        pub fn bnnep_train_epoch(
            optimizer: *mut c_void, data: *const c_void, batch_size: usize, progress: ProgressFn, user: *mut c_void,
            report: *mut Report,
        ) -> c_int;
        pub fn bnnep_evaluate(
            net: *const c_void, workspace: *mut c_void, data: *const c_void, progress: ProgressFn, user: *mut c_void,
            report: *mut Report,
        ) -> c_int;
        pub fn bnnep_predict(
            net: *const c_void, workspace: *mut c_void, inputs: *const f32, count: u64, readout: i32,
            scores: *mut f32, classes: *mut i32,
        ) -> c_int;
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

fn check(status: c_int) -> Result<()> {
    if status == 0 {
        return Ok(());
    }
    let message = unsafe { CStr::from_ptr(ffi::bnnep_last_error()) };
    Err(Error { status, message: message.to_string_lossy().into_owned() })
}

fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error { status: -1, message: format!("a zero byte in {:?}", text) })
}

/// Owns a C handle. Not Clone; like all handles, it may be moved to another thread, but not be shared with one.
struct Handle {
    pointer: NonNull<c_void>,
    free: unsafe extern "C" fn(*mut c_void),
}

unsafe impl Send for Handle {}

impl Handle {
    fn create(
        free: unsafe extern "C" fn(*mut c_void), call: impl FnOnce(*mut *mut c_void) -> c_int,
    ) -> Result<Handle> {
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

pub enum Part {
    Training = 0,
    Test = 1,
}

pub struct Dataset(Handle);

impl Dataset {
    /// A folder laid out as MNIST.
    pub fn from_folder(folder: &str, part: Part, classes: i32) -> Result<Dataset> {
        let folder = c_string(folder)?;
        Handle::create(ffi::bnnep_dataset_free, |out| unsafe {
            ffi::bnnep_dataset_from_folder(folder.as_ptr(), part as i32, classes, out)
        })
        .map(Dataset)
    }

    /// Vectors, as many values each as there are for a label. They are copied.
    pub fn from_vectors(inputs: &[f32], labels: &[i32], classes: i32) -> Result<Dataset> {
        let values = inputs.len().checked_div(labels.len()).unwrap_or(0);
        let mut options = ffi::DatasetOptions::init();
        options.channels = i32::try_from(values).unwrap_or(0); // which the library refuses, with words
        options.classes = classes;
        if values * labels.len() != inputs.len() {
            return Err(Error { status: -1, message: "as many values are needed for each label".to_string() });
        }
        Handle::create(ffi::bnnep_dataset_free, |out| unsafe {
            let inputs = inputs.as_ptr() as *const c_void;
            ffi::bnnep_dataset_from_memory(&options, inputs, labels.as_ptr(), labels.len() as u64, out)
        })
        .map(Dataset)
    }

    pub fn subset(&self, first: u64, count: u64) -> Result<Dataset> {
        Handle::create(ffi::bnnep_dataset_free, |out| unsafe {
            ffi::bnnep_dataset_subset(self.0.get(), first, count, out)
        })
        .map(Dataset)
    }

    pub fn info(&self) -> Result<ffi::DatasetInfo> {
        let mut info = ffi::DatasetInfo::init();
        check(unsafe { ffi::bnnep_dataset_get_info(self.0.get(), &mut info) })?;
        Ok(info)
    }

    /// Inputs and labels of `count` samples from place `first` on.
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
pub struct Report {
    pub samples: u64,
    pub batches: u64,
    pub errors: u64,
    pub loss: f64,
    pub seconds: f64,
    pub flips: Vec<u64>,
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
    match catch_unwind(AssertUnwindSafe(|| (watcher.progress)(&*event))) {
        Ok(stop) => stop as i32,
        Err(panic) => {
            watcher.panic = Some(panic);
            1
        }
    }
}

fn run(
    connections: usize, progress: Progress,
    call: impl FnOnce(ffi::ProgressFn, *mut c_void, *mut ffi::Report) -> c_int,
) -> Result<Report> {
    let mut flips = vec![0; connections];
    let mut report = ffi::Report::init();
    report.flips = flips.as_mut_ptr();
    report.flips_count = flips.len();
    let mut watcher = Watcher { progress, panic: None };
    let status = call(Some(watch), &mut watcher as *mut Watcher as *mut c_void, &mut report);
    if let Some(panic) = watcher.panic {
        resume_unwind(panic);
    }
    check(status)?;
    let ffi::Report { samples, batches, errors, loss, seconds, .. } = report;
    Ok(Report { samples, batches, errors, loss, seconds, flips })
}

pub struct Network(Handle);

impl Network {
    /// `options` with the connections filled in.
    pub fn new(mut options: ffi::NetworkOptions, connections: &[ffi::Connection]) -> Result<Network> {
        options.connections = connections.as_ptr();
        options.connection_count = connections.len();
        Handle::create(ffi::bnnep_network_free, |out| unsafe { ffi::bnnep_network_create(&options, out) }).map(Network)
    }

    pub fn info(&self) -> Result<ffi::NetworkInfo> {
        let mut info = ffi::NetworkInfo::init();
        check(unsafe { ffi::bnnep_network_get_info(self.0.get(), &mut info) })?;
        Ok(info)
    }

    /// Signs of a connection, +1 and -1, row by row.
    pub fn signs(&self, index: usize) -> Result<Vec<i8>> {
        let mut info = ffi::ConnectionInfo::init();
        check(unsafe { ffi::bnnep_network_get_connection(self.0.get(), index, &mut info) })?;
        let mut signs = vec![0; (info.rows * info.columns) as usize];
        check(unsafe { ffi::bnnep_network_get_signs(self.0.get(), index, signs.as_mut_ptr(), signs.len()) })?;
        Ok(signs)
    }

    pub fn evaluate(&self, data: &Dataset) -> Result<Report> {
        run(self.info()?.connections, &mut |_| false, |progress, user, report| unsafe {
            ffi::bnnep_evaluate(self.0.get(), null_mut(), data.0.get(), progress, user, report)
        })
    }

    /// The class of each input.
    pub fn predict(&self, inputs: &[f32]) -> Result<Vec<i32>> {
        let mut classes = vec![0; inputs.len() / self.info()?.inputs as usize];
        check(unsafe {
            let count = classes.len() as u64;
            ffi::bnnep_predict(
                self.0.get(), null_mut(), inputs.as_ptr(), count, 0, null_mut(), classes.as_mut_ptr(),
            )
        })?;
        Ok(classes)
    }

    pub fn save(&self, path: &str) -> Result<()> {
        check(unsafe { ffi::bnnep_network_save(self.0.get(), c_string(path)?.as_ptr(), null()) })
    }
}

/// Learns a network that it borrows: Rust then knows that nobody else uses it meanwhile.
pub struct Optimizer<'a> {
    handle: Handle,
    pub network: &'a Network,
}

/// One value a connection, input first.
pub struct Rates<'a> {
    pub gamma: &'a [f64],
    pub threshold: &'a [f64],
    pub lr_bias: &'a [f64],
}

impl<'a> Optimizer<'a> {
    pub fn new(network: &'a mut Network, rates: Rates, mut options: ffi::OptimizerOptions) -> Result<Optimizer<'a>> {
        let connections = network.info()?.connections;
        for list in [rates.gamma, rates.threshold, rates.lr_bias] {
            assert_eq!(list.len(), connections, "one rate a connection");
        }
        options.gamma = rates.gamma.as_ptr();
        options.threshold = rates.threshold.as_ptr();
        options.lr_bias = rates.lr_bias.as_ptr();
        let handle = Handle::create(ffi::bnnep_optimizer_free, |out| unsafe {
            ffi::bnnep_optimizer_create(network.0.get(), &options, out)
        })?;
        Ok(Optimizer { handle, network })
    }

    pub fn train_epoch(&mut self, data: &Dataset, batch_size: usize, progress: Progress) -> Result<Report> {
        run(self.network.info()?.connections, progress, |watch, user, report| unsafe {
            ffi::bnnep_train_epoch(self.handle.get(), data.0.get(), batch_size, watch, user, report)
        })
    }
}
