//! What the compiler made of the kernels that handle secrets: this program takes itself apart
//! with `objdump` and looks for what the source was written to avoid.
//!
//! ```text
//! cargo test --release -p acquaint-core --test disassembly
//! ACQUAINT_DISASSEMBLE=$PWD/target/release/acquaint \
//!     cargo test --release -p acquaint-core --test disassembly
//! ```
//!
//! The second form looks at another program, such as the one that is shipped. Builds without
//! optimization or with debug assertions contain other code, so there the kernels are left out
//! and only the rules are tested. Empty but on x86-64. Needs `objdump` (binutils); says so in a
//! line `SKIPPED` where it is missing, and `ACQUAINT_REQUIRE_DISASSEMBLY=1` makes that a failure.
//!
//! The rules count. They do not follow data: that the conditional jumps are loop counters, and
//! that no register of an address holds a digit, was seen by reading; a change in the numbers is
//! the reason to read again, and then to change the table below.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a check: it prints what it saw, and aborts when something is wrong"
)]
#![cfg(target_arch = "x86_64")]

use std::{
    collections::{BTreeSet, HashMap},
    env,
    hint::black_box,
    io::{self, Write},
    path::PathBuf,
    process::Command,
};

use acquaint_core::engine::Engine;

// ---- what is allowed

/// What a kernel may contain.
struct Rules {
    back_end: BackEnd,
    /// The method of `Kernels`, and how many symbols it has: one for each width. Or a piece.
    kernel: &'static str,
    symbols: usize,
    /// Conditional jumps: its loops.
    jumps: usize,
    /// Copies of constant length, and zeroings.
    copies: usize,
    /// Loads and stores under a mask. The only ones that are harmless have constant masks and
    /// addresses: the packing of scalars into lanes.
    masked_memory: usize,
    /// Products at least, so that a kernel that calls its body elsewhere is noticed: instructions
    /// that multiply limbs, or calls of pieces.
    products: usize,
}

/// The file of `engine` that a kernel comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BackEnd {
    Ifma,
    Avx2,
}

impl BackEnd {
    /// The end of the names of a kernel's symbols.
    fn kernel_name(self, kernel: &str) -> String {
        if PIECES.iter().any(|(piece, ..)| *piece == kernel) {
            return format!("{PIECE_PREFIX}{kernel}");
        }
        let token = match self {
            Self::Ifma => "ifma::Ifma",
            Self::Avx2 => "avx2::Avx2",
        };
        format!("::Kernels for acquaint_core::engine::{token}>::{kernel}::kernel")
    }
}

/// Functions that the kernels of the AVX2 back end call, with their symbols and products. They have
/// neither a jump nor a call, and their arguments are addresses of field elements.
const PIECES: [(&str, usize, usize); 8] = [
    ("product", 2, 100),
    ("square", 3, 60),
    ("product_carried", 1, 100),
    ("square_carried", 1, 60),
    ("square_assign", 1, 60),
    ("complete_double", 1, 0),
    ("complete_add", 1, 0),
    ("complete_add_signed", 1, 0),
];

const PIECE_PREFIX: &str = "acquaint_core::engine::avx2::";

/// The rules of the pieces.
fn piece_rules() -> impl Iterator<Item = Rules> {
    PIECES.into_iter().map(|(kernel, symbols, products)| Rules {
        back_end: BackEnd::Avx2,
        kernel,
        symbols,
        products,
        ..STRICT
    })
}

/// The rules of everything that is looked at.
fn all_rules() -> impl Iterator<Item = Rules> {
    RULES.into_iter().chain(piece_rules())
}

/// The kernels with secret operands. `decode`, `add_combination` and `sum_lanes` see public ones.
const RULES: [Rules; 12] = [
    // Jumps: doublings left; position 0.
    Rules {
        back_end: BackEnd::Ifma,
        kernel: "ladder_shared",
        symbols: 1,
        jumps: 2,
        copies: 0,
        masked_memory: 0,
        products: 3_000,
    },
    // The same, and four loops of sixteen digits in the recoding.
    Rules {
        back_end: BackEnd::Ifma,
        kernel: "ladder_lanes",
        symbols: 1,
        jumps: 6,
        copies: 0,
        masked_memory: 5,
        products: 3_000,
    },
    // Jumps: an empty table, its end, the last position.
    Rules {
        back_end: BackEnd::Ifma,
        kernel: "add_multiple",
        symbols: 1,
        jumps: 3,
        copies: 0,
        masked_memory: 20,
        products: 300,
    },
    // Jumps: groups there and back, whether there are any, and eight runs of squarings.
    Rules {
        back_end: BackEnd::Ifma,
        kernel: "encode_double",
        symbols: 1,
        jumps: 12,
        copies: 0,
        masked_memory: 0,
        products: 1_000,
    },
    // Jumps: runs of squarings; the two groups of the wider one.
    Rules {
        back_end: BackEnd::Ifma,
        kernel: "encode",
        symbols: 2,
        jumps: 11,
        copies: 2,
        masked_memory: 0,
        products: 1_000,
    },
    // Jumps: runs of squarings; the two halves of a string.
    Rules {
        back_end: BackEnd::Ifma,
        kernel: "map_to_group",
        symbols: 1,
        jumps: 11,
        copies: 2,
        masked_memory: 0,
        products: 2_000,
    },
    // Jumps: four scans of a table, doublings left, position 0. Products are calls from here on.
    Rules {
        back_end: BackEnd::Avx2,
        kernel: "ladder_shared",
        symbols: 1,
        jumps: 6,
        copies: 49,
        masked_memory: 0,
        products: 95,
    },
    // The same, and four loops of sixteen digits in the recoding.
    Rules {
        back_end: BackEnd::Avx2,
        kernel: "ladder_lanes",
        symbols: 1,
        jumps: 10,
        copies: 49,
        masked_memory: 0,
        products: 95,
    },
    // Jumps: an empty table, its end, the last position, the limbs of a lookup.
    Rules {
        back_end: BackEnd::Avx2,
        kernel: "add_multiple",
        symbols: 1,
        jumps: 4,
        copies: 10,
        masked_memory: 0,
        products: 8,
    },
    // Jumps: groups there and back, whether there are any, and a run of squarings.
    Rules {
        back_end: BackEnd::Avx2,
        kernel: "encode_double",
        symbols: 1,
        jumps: 5,
        copies: 27,
        masked_memory: 0,
        products: 180,
    },
    // Jumps: a run of squarings; the two groups of the wider one.
    Rules {
        back_end: BackEnd::Avx2,
        kernel: "encode",
        symbols: 2,
        jumps: 4,
        copies: 45,
        masked_memory: 0,
        products: 180,
    },
    // Jumps: a run of squarings; the two halves of a string.
    Rules {
        back_end: BackEnd::Avx2,
        kernel: "map_to_group",
        symbols: 1,
        jumps: 4,
        copies: 57,
        masked_memory: 0,
        products: 360,
    },
];

impl Rules {
    /// What is wrong with a kernel.
    fn complaints(&self, code: &[Instruction]) -> Vec<String> {
        let seen = Seen::of(code);
        let mut complaints = seen.forbidden;
        let mut limit = |what: &str, found: usize, allowed: usize| {
            if found > allowed {
                complaints.push(format!("{found} {what}, {allowed} allowed"));
            }
        };
        limit("conditional jumps", seen.jumps, self.jumps);
        limit("copies", seen.copies, self.copies);
        limit("masked accesses to memory", seen.masked_memory, self.masked_memory);
        if seen.products < self.products {
            complaints.push(format!("{} products, {} expected", seen.products, self.products));
        }
        complaints
    }
}

// ---- what is there

/// An instruction as objdump prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Instruction {
    mnemonic: String,
    operands: String,
}

impl Instruction {
    /// Whether its last operand is this register.
    fn sets(&self, register: &str) -> bool {
        let operands = self.operands.split('#').next().unwrap_or("").trim_end();
        operands.strip_suffix(register).is_some_and(|rest| rest.is_empty() || rest.ends_with(','))
    }
}

/// A function: its address, its demangled name and its instructions.
struct Function {
    start: u64,
    name: String,
    code: Vec<Instruction>,
}

/// Counts of what is allowed in places, and the text of what is not allowed anywhere.
#[derive(Debug, Default)]
struct Seen {
    jumps: usize,
    copies: usize,
    masked_memory: usize,
    products: usize,
    forbidden: Vec<String>,
}

impl Seen {
    fn of(code: &[Instruction]) -> Self {
        let mut seen = Self::default();
        for (index, instruction) in code.iter().enumerate() {
            seen.count(instruction, &code[..index]);
        }
        seen
    }

    fn count(&mut self, instruction: &Instruction, before: &[Instruction]) {
        let Instruction { mnemonic, operands } = instruction;
        let mut forbid = |why: &str| {
            self.forbidden.push(format!("{why}: {mnemonic} {operands}"));
        };
        let comment = operands.find('#').unwrap_or(operands.len());
        let memory = operands[..comment].contains('(');
        match mnemonic.as_str() {
            "call" if is_constant_copy(operands, before) => self.copies += 1,
            "call" if is_piece(operands, before) => self.products += 1,
            "call" => forbid("a call"),
            // A kernel's own jumps go to a place inside of it: `<name+0x…>`.
            "jmp" if operands.starts_with('*') || !operands.contains("+0x") => forbid("an exit"),
            "jmp" => {}
            "div" | "idiv" => forbid("a division"),
            // Loop counters live in general registers.
            "ptest" | "vptest" => forbid("flags from a vector"),
            name if name.starts_with("kortest") || name.starts_with("ktest") => {
                forbid("flags from a mask");
            }
            name if name.contains("comis") => forbid("flags from a vector"),
            name if name.contains("gather") || name.contains("scatter") => {
                forbid("an address per lane");
            }
            name if name.contains("maskmov") => forbid("a masked access"),
            name if name.starts_with('j') => self.jumps += 1,
            name if name.starts_with("vpmadd52") => {
                self.products += 1;
                if !operands.contains("%zmm") || operands.contains("%ymm") {
                    forbid("a narrow product");
                }
            }
            name if name.starts_with("vfmadd") => {
                self.products += 1;
                if !operands.contains("%ymm") || operands.contains("%xmm") {
                    forbid("a narrow product");
                }
            }
            _ => {}
        }
        if memory && operands.contains("{%k") {
            self.masked_memory += 1;
        }
    }
}

/// Whether a call is one of a piece: `1234 <acquaint_core::engine::avx2::square>`, or by way of a
/// register or a slot that holds its address.
fn is_piece(target: &str, before: &[Instruction]) -> bool {
    let name = callee(target, before);
    PIECES.iter().any(|(piece, ..)| name.ends_with(&format!("<{PIECE_PREFIX}{piece}>")))
}

/// What a call goes to, with its name if that is known.
fn callee<'a>(target: &'a str, before: &'a [Instruction]) -> &'a str {
    match target.strip_prefix('*') {
        Some(register) if register.starts_with('%') => origin(register, before),
        _ => target,
    }
}

/// Whether a call is one of `memcpy` or `memset` with a length that the instructions before it set
/// to a constant.
fn is_constant_copy(target: &str, before: &[Instruction]) -> bool {
    let name = callee(target, before);
    let length = before.iter().rev().take(8).find(|i| i.sets("%edx") || i.sets("%rdx"));
    (name.contains("<memcpy@") || name.contains("<memset@"))
        && length.is_some_and(|i| i.mnemonic.starts_with("mov") && i.operands.starts_with("$0x"))
}

/// Where a register has its value from: the operand of the instruction that set it, through moves
/// between registers. `mov 0x…(%rip),%rbx # … <memcpy@GLIBC…>` names what it loads.
fn origin<'a>(register: &'a str, before: &'a [Instruction]) -> &'a str {
    match before.iter().rposition(|instruction| instruction.sets(register)) {
        None => register,
        Some(index) => match before[index].operands.split_once(',') {
            Some((from, _)) if before[index].mnemonic == "mov" && from.starts_with('%') => {
                origin(from, &before[..index])
            }
            _ => &before[index].operands,
        },
    }
}

/// The functions in the output of `objdump`.
fn parse(listing: &str) -> Vec<Function> {
    let mut functions = Vec::<Function>::new();
    for line in listing.lines() {
        if let Some((start, name)) = line.strip_suffix(">:").and_then(|l| l.split_once(" <")) {
            let start = u64::from_str_radix(start, 16).unwrap_or(0);
            functions.push(Function { start, name: name.to_owned(), code: Vec::new() });
        } else if let (Some((_, text)), Some(function)) =
            (line.split_once(":\t"), functions.last_mut())
        {
            let (mnemonic, operands) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
            function.code.push(Instruction {
                mnemonic: mnemonic.to_owned(),
                operands: operands.trim().to_owned(),
            });
        }
    }
    functions
}

/// Puts names to the slots that calls within the program go through: `# 18d0e8 <_DYNAMIC+0x230>`
/// becomes `# 18d0e8 <square>`. `relocations` says what the loader writes there:
/// `18d0e8 R_X86_64_RELATIVE *ABS*+0x34910`.
fn name_slots(functions: &mut [Function], relocations: &str) {
    let address = |text: &str| u64::from_str_radix(text, 16).ok();
    let starts: HashMap<u64, String> =
        functions.iter().map(|function| (function.start, function.name.clone())).collect();
    let slot = |line: &str| {
        let (slot, rest) = line.split_once(" R_X86_64_RELATIVE")?;
        let start = address(rest.trim().strip_prefix("*ABS*+0x")?)?;
        Some((address(slot)?, starts.get(&start)?))
    };
    let slots: HashMap<u64, &String> = relocations.lines().filter_map(slot).collect();
    for instruction in functions.iter_mut().flat_map(|function| &mut function.code) {
        let Some((operand, comment)) = instruction.operands.split_once("# ") else { continue };
        let at = comment.split_once(' ').and_then(|(at, _)| address(at));
        if let Some((at, name)) = at.and_then(|at| Some((at, slots.get(&at)?))) {
            instruction.operands = format!("{operand}# {at:x} <{name}>");
        }
    }
}

/// What objdump prints, or `None` without objdump.
fn objdump(program: &PathBuf, arguments: &[&str]) -> Option<String> {
    let Ok(output) = Command::new("objdump").args(arguments).arg(program).output() else {
        let skipped = "SKIPPED: no objdump (binutils); the kernels were NOT looked at";
        assert!(env::var_os("ACQUAINT_REQUIRE_DISASSEMBLY").is_none(), "{skipped}");
        // Past the capture of the test harness.
        io::stderr().write_all(format!("\n{skipped}\n").as_bytes()).unwrap();
        return None;
    };
    assert!(output.status.success(), "objdump: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The listing of a program, or `None` without objdump.
fn disassemble(program: &PathBuf) -> Option<Vec<Function>> {
    let listing = ["--disassemble", "--demangle", "--no-show-raw-insn", "--wide"];
    let mut functions = parse(&objdump(program, &listing)?);
    name_slots(&mut functions, &objdump(program, &["--dynamic-reloc"])?);
    Some(functions)
}

/// The symbols of a kernel.
fn kernel<'a>(functions: &'a [Function], rules: &Rules) -> Vec<&'a Function> {
    let end = rules.back_end.kernel_name(rules.kernel);
    functions.iter().filter(|function| function.name.ends_with(&end)).collect()
}

/// Everything that is wrong with a program's kernels; none at all, or too few, is wrong.
fn check(functions: &[Function], rules: &Rules) -> Vec<String> {
    let found = kernel(functions, rules);
    let mut complaints = Vec::new();
    let mut complain = |what: String| {
        complaints.push(format!("{:?} {}: {what}", rules.back_end, rules.kernel));
    };
    if found.len() < rules.symbols {
        complain(format!("{} of {} symbols", found.len(), rules.symbols));
    }
    for function in found {
        rules.complaints(&function.code).into_iter().for_each(&mut complain);
    }
    complaints
}

/// Puts the whole engine into this program.
fn keep_engine() {
    black_box(Engine::evaluate as *const ());
    black_box(Engine::multiply_each as *const ());
    black_box(Engine::blind_additive as *const ());
    black_box(Engine::map_to_group as *const ());
    black_box(Engine::fixed_base as *const ());
}

#[test]
#[cfg_attr(debug_assertions, ignore = "other code than what is shipped; run with --release")]
fn kernels_have_no_address_and_no_branch_but_those_listed() {
    keep_engine();
    let other = env::var_os("ACQUAINT_DISASSEMBLE").map(PathBuf::from);
    let program = other.unwrap_or_else(|| env::current_exe().unwrap());
    let Some(functions) = disassemble(&program) else { return };
    for rules in all_rules() {
        for function in kernel(&functions, &rules) {
            let (back_end, name, seen) = (rules.back_end, rules.kernel, Seen::of(&function.code));
            println!("{back_end:?} {name}: {} instructions, {seen:?}", function.code.len());
        }
    }
    let complaints: Vec<_> = all_rules().flat_map(|rules| check(&functions, &rules)).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

// ---- the check itself

/// Rules that nothing but an empty function keeps.
const STRICT: Rules = Rules {
    back_end: BackEnd::Ifma,
    kernel: "",
    symbols: 1,
    jumps: 0,
    copies: 0,
    masked_memory: 0,
    products: 0,
};

/// Functions that break a rule each, compiled like the kernels. Nobody calls them.
#[allow(unsafe_code, reason = "intrinsics, compiled to be looked at")]
mod planted {
    use core::arch::x86_64::*;

    #[inline(never)]
    #[target_feature(enable = "avx512f")]
    pub(super) fn planted_gather(table: &[i64; 8], index: __m512i) -> __m512i {
        // SAFETY: never called.
        unsafe { _mm512_i64gather_epi64::<8>(index, table.as_ptr()) }
    }

    #[inline(never)]
    #[target_feature(enable = "avx512f")]
    pub(super) fn planted_masked_load(mask: u8, entry: &[i64; 8]) -> __m512i {
        // SAFETY: never called.
        unsafe { _mm512_maskz_loadu_epi64(mask, entry.as_ptr()) }
    }

    #[inline(never)]
    pub(super) fn planted_branch(digit: u64, entry: &mut u64) {
        if digit != 0 {
            *entry = core::hint::black_box(digit);
        }
    }

    #[inline(never)]
    pub(super) fn planted_call(digit: u64) -> u64 {
        planted_division(digit, 3) + 1
    }

    #[inline(never)]
    pub(super) fn planted_copy(from: &[u8], to: &mut [u8; 999], length: usize) {
        // SAFETY: never called.
        unsafe { core::ptr::copy_nonoverlapping(from.as_ptr(), to.as_mut_ptr(), length) }
    }

    #[inline(never)]
    pub(super) fn planted_division(digit: u64, divisor: u64) -> u64 {
        core::hint::black_box(digit) / core::hint::black_box(divisor | 1)
    }

    #[inline(never)]
    #[target_feature(enable = "avx2")]
    pub(super) fn planted_maskmov(entry: &mut [i64; 4], mask: __m256i) {
        // SAFETY: never called.
        unsafe { _mm256_maskstore_epi64(entry.as_mut_ptr(), mask, mask) }
    }

    #[inline(never)]
    #[target_feature(enable = "fma")]
    pub(super) fn planted_narrow_fma(a: __m128d, b: __m128d) -> __m128d {
        _mm_fmadd_pd(a, a, b)
    }

    #[inline(never)]
    #[target_feature(enable = "avx512ifma,avx512vl")]
    pub(super) fn planted_narrow_product(a: __m256i, b: __m256i) -> __m256i {
        _mm256_madd52lo_epu64(a, a, b)
    }
}

#[test]
fn planted_kernels_are_caught() {
    black_box(planted::planted_gather as *const ());
    black_box(planted::planted_masked_load as *const ());
    black_box(planted::planted_branch as *const ());
    black_box(planted::planted_call as *const ());
    black_box(planted::planted_copy as *const ());
    black_box(planted::planted_division as *const ());
    black_box(planted::planted_maskmov as *const ());
    black_box(planted::planted_narrow_fma as *const ());
    black_box(planted::planted_narrow_product as *const ());
    let Some(functions) = disassemble(&env::current_exe().unwrap()) else { return };
    for (name, complaint) in [
        ("gather", "an address per lane"),
        ("masked_load", "masked accesses to memory"),
        ("branch", "conditional jumps"),
        ("call", "a call"),
        ("copy", ""),
        ("division", "a division"),
        ("maskmov", "a masked access"),
        ("narrow_fma", "a narrow product"),
        ("narrow_product", "a narrow product"),
    ] {
        let end = format!("::planted_{name}");
        let function = functions.iter().find(|function| function.name.ends_with(&end));
        let function = function.unwrap_or_else(|| panic!("{name} is not in the program"));
        let complaints = STRICT.complaints(&function.code);
        assert!(complaints.iter().any(|text| text.contains(complaint)), "{name}: {complaints:?}");
    }
}

#[test]
fn a_kernel_that_is_not_found_is_a_failure() {
    let functions = parse("0000000000001000 <main>:\n    1000:\tret\n");
    for rules in all_rules() {
        assert_eq!(check(&functions, &rules).len(), 1, "{}", rules.kernel);
    }
    let hollow = "0000000000001000 <acquaint_core::engine::ifma::_::<impl acquaint_core::engine::\
                  vector::kernels::Kernels for acquaint_core::engine::ifma::Ifma>::ladder_shared::\
                  kernel>:\n    1000:\tret\n";
    let complaints = check(&parse(hollow), &RULES[0]);
    assert_eq!(complaints, ["Ifma ladder_shared: 0 products, 3000 expected"]);
}

#[test]
fn slots_get_the_names_of_what_they_hold() {
    let mut functions =
        parse("0000000000001000 <f>:\n    1000:\tcall   *0x8(%rip)  # 2000 <a+0x1>\n");
    name_slots(&mut functions, "0000000000002000 R_X86_64_RELATIVE  *ABS*+0x0000000000001000\n");
    assert_eq!(functions[0].code[0].operands, "*0x8(%rip)  # 2000 <f>");
}

#[test]
fn only_copies_of_constant_length_are_copies() {
    let code = |lines: &[&str]| -> Vec<_> {
        let text: String = lines.iter().map(|line| format!("    1000:\t{line}\n")).collect();
        parse(&format!("0000000000001000 <f>:\n{text}")).remove(0).code
    };
    let pointer = "mov    0x10(%rip),%rbx        # 2000 <memcpy@GLIBC_2.14>";
    let other = "mov    0x10(%rip),%rbx        # 2000 <memcmp@GLIBC_2.2.5>";
    let length = "mov    $0x280,%edx";
    let copies = |lines: &[&str]| {
        let seen = Seen::of(&code(lines));
        (seen.copies, seen.forbidden.len())
    };
    assert_eq!(copies(&[pointer, length, "call   *%rbx"]), (1, 0));
    assert_eq!(copies(&[length, "call   1234 <memcpy@plt>"]), (1, 0));
    assert_eq!(copies(&[pointer, "mov    %rbx,%rax", length, "call   *%rax"]), (1, 0));
    assert_eq!(copies(&[pointer, "mov    %rcx,%rdx", "call   *%rbx"]), (0, 1));
    assert_eq!(copies(&[pointer, length, "mov    (%rax),%rbx", "call   *%rbx"]), (0, 1));
    assert_eq!(copies(&[other, length, "call   *%rbx"]), (0, 1));
    assert_eq!(copies(&[length, "call   1234 <memmove@plt>"]), (0, 1));
    let piece = "call   1234 <acquaint_core::engine::avx2::square>";
    assert_eq!(copies(&[piece]), (0, 0));
    assert_eq!(copies(&["call   1234 <acquaint_core::engine::avx2::other>"]), (0, 1));
    let pointer = "mov    0x10(%rip),%rbx        # 2000 <acquaint_core::engine::avx2::square>";
    assert_eq!(copies(&[pointer, "call   *%rbx"]), (0, 0));
    let distinct: BTreeSet<_> =
        all_rules().map(|rules| rules.back_end.kernel_name(rules.kernel)).collect();
    assert_eq!(distinct.len(), RULES.len() + PIECES.len());
}
