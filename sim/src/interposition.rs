//! Seeded randomness for libraries that ask the operating system: the executable defines `getrandom`, `getentropy` and
//! `syscall` itself, and on a thread that has been seeded answers the first two, and the third's getrandom, from a
//! stream. This covers the keys of hash maps, TLS, connection ids and elections at once.
//!
//! On every other thread, and for every other system call, the kernel answers. This module belongs to the executable
//! alone: a library must never change a symbol of the C library under its users.

#![allow(unsafe_code, reason = "system calls, and symbols of the C library, are unsafe by nature")]

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
compile_error!("the simulator interposes system calls and knows them for x86_64 Linux only: build the other crates");

use dfs_sim::random::{Random, Seed};
use libc::{c_int, c_uint, c_void, size_t, ssize_t};
use std::cell::RefCell;

thread_local! {
    static STREAM: RefCell<Option<Random>> = const { RefCell::new(None) };
}

/// Seeds the calling thread, for its whole life.
pub fn seed_thread(seed: u64) {
    STREAM.set(Some(Seed::new(seed).fork("operating system").random()));
}

/// Fills `bytes` if this thread is seeded. It must neither allocate nor draw randomness itself.
fn fill(bytes: &mut [u8]) -> bool {
    // A thread that is ending has no stream any more, and then the kernel answers.
    STREAM
        .try_with(|stream| match stream.try_borrow_mut().ok().as_deref_mut() {
            Some(Some(random)) => {
                random.fill(bytes);
                true
            }
            _ => false,
        })
        .unwrap_or(false)
}

/// # Safety
/// As getrandom(2): `buffer` has room for `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut c_void, length: size_t, flags: c_uint) -> ssize_t {
    if length == 0 {
        return 0;
    }
    // SAFETY: the caller vouches for the buffer. Bytes have no invalid values; they are only written here.
    if fill(unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length) }) {
        return length.cast_signed();
    }
    // SAFETY: the caller vouches for the arguments.
    unsafe { kernel(libc::SYS_getrandom, [buffer as usize, length, flags as usize, 0, 0, 0]) }
}

/// # Safety
/// As getentropy(3): `buffer` has room for `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getentropy(buffer: *mut c_void, length: size_t) -> c_int {
    // SAFETY: the caller vouches for the buffer.
    if length <= 256 && unsafe { getrandom(buffer, length, 0) } == length.cast_signed() { 0 } else { -1 }
}

/// # Safety
/// As syscall(2). The C prototype is variadic; on this architecture the arguments come in the same registers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syscall(
    number: libc::c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> libc::c_long {
    if number == libc::SYS_getrandom {
        // SAFETY: these are getrandom's arguments.
        return unsafe { getrandom(a as *mut c_void, b, c as c_uint) } as libc::c_long;
    }
    // SAFETY: the caller vouches for the call.
    unsafe { kernel(number, [a, b, c, d, e, f]) as libc::c_long }
}

/// Asks the kernel, and reports an error as the C library does.
unsafe fn kernel(number: libc::c_long, [a, b, c, d, e, f]: [usize; 6]) -> ssize_t {
    let result: ssize_t;
    // SAFETY: the caller vouches for the call; the kernel spoils rcx and r11 only.
    unsafe {
        std::arch::asm!("syscall", inlateout("rax") number as ssize_t => result, in("rdi") a, in("rsi") b, in("rdx") c,
            in("r10") d, in("r8") e, in("r9") f, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    if !(-4095..0).contains(&result) {
        return result;
    }
    // SAFETY: the C library keeps one error number per thread at this address.
    unsafe { *libc::__errno_location() = (-result) as c_int };
    -1
}
