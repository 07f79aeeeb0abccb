//! The machine: a stack, marks on it, and a memo.

use std::collections::HashMap;
use std::rc::Rc;

use super::globals;
use super::input::{self, Input, utf8};
use super::value::{Heap, Id, Value};
use super::{Refused, Unpickled, shown};

/// The most opcodes of one pickle, or one for so many bytes where that is more. Large models have some ten thousand, large
/// lists of arrays one for some hundred bytes; it bounds the memory that a file of nothing but one-byte opcodes can take.
const MAX_OPCODES: usize = 1 << 22;
const BYTES_PER_OPCODE: usize = 32;

struct Machine<'a> {
    input: Input<'a>,
    heap: Heap,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

/// Reads the pickle that begins at byte `start`.
///
/// # Errors
/// Where and why it is not plain data of a state_dict.
pub(crate) fn unpickle(bytes: &[u8], start: usize) -> Result<Unpickled, Refused> {
    let most = MAX_OPCODES.max(bytes.len() / BYTES_PER_OPCODE);
    let mut machine = Machine {
        input: Input::new(bytes, start),
        heap: Heap::new(most),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    for count in 0.. {
        let byte = machine.input.at;
        let mut opcode = String::from("opcode");
        let done = (|| {
            let code = machine.input.u8()?;
            opcode = input::name_of(code);
            if count == most {
                return Err(format!("more than {most} opcodes"));
            }
            machine.step(code)
        })();
        match done {
            Ok(false) => {}
            Ok(true) => {
                let refused = |why| Refused { byte, opcode, why };
                return machine.finish().map_err(refused);
            }
            Err(why) => return Err(Refused { byte, opcode, why }),
        }
    }
    unreachable!("the loop ends at an opcode or at the end of the bytes")
}

impl Machine<'_> {
    fn finish(mut self) -> Result<Unpickled, String> {
        let root = self.pop()?;
        if !self.stack.is_empty() || !self.marks.is_empty() {
            return Err(format!("{} values are left over", self.stack.len()));
        }
        self.heap.check(root)?;
        Ok(Unpickled {
            heap: self.heap,
            root,
            end: self.input.at,
        })
    }

    /// One opcode; true at the end of the pickle.
    fn step(&mut self, code: u8) -> Result<bool, String> {
        match code {
            b'.' => return Ok(true),
            0x80 => self.protocol()?,
            0x95 => drop(self.input.take(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' if self.marks.last() == Some(&self.stack.len()) => drop(self.marks.pop()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.since_mark()?),
            b'2' => self.stack.push(self.top()?),
            b'p' | b'q' | b'r' | 0x94 => self.remember(code)?,
            b'g' | b'h' | b'j' => self.recall(code)?,
            b'a' | b'e' | 0x90 => self.extend(code)?,
            b's' | b'u' => self.set_entries(code)?,
            b'c' | 0x93 => self.global(code)?,
            b'R' | 0x81 => {
                let (args, callee) = (self.pop()?, self.pop()?);
                let made = match code {
                    b'R' => globals::call(&mut self.heap, callee, args)?,
                    _ => globals::object(&mut self.heap, callee, args)?,
                };
                self.push(made);
            }
            b'b' => self.build()?,
            b'Q' => {
                let id = self.pop()?;
                let storage = globals::persistent(&self.heap, id)?;
                self.push(Value::Storage(Rc::new(storage)));
            }
            b'i' => {
                let (module, name) = (self.input.line()?, self.input.line()?);
                return Err(refusal(module, name));
            }
            b'P' | b'o' | 0x82 | 0x83 | 0x84 | 0x92 | 0x97 | 0x98 => {
                return Err("no state_dict needs this opcode".into());
            }
            _ => {
                let value = match self.number(code)? {
                    Some(value) => Some(value),
                    None => self.text(code)?,
                };
                let value = match value {
                    Some(value) => value,
                    None => self.collection(code)?,
                };
                self.push(value);
            }
        }
        Ok(false)
    }

    fn protocol(&mut self) -> Result<(), String> {
        match self.input.u8()? {
            0..=5 => Ok(()),
            other => Err(format!("protocol {other}, expected 0 to 5")),
        }
    }

    fn number(&mut self, code: u8) -> Result<Option<Value>, String> {
        let input = &mut self.input;
        Ok(Some(match code {
            b'N' => Value::None,
            0x88 | 0x89 => Value::Bool(code == 0x88),
            b'J' => Value::Int(input.i32()?.into()),
            b'K' => Value::Int(input.u8()?.into()),
            b'M' => Value::Int(input.u16()?.into()),
            b'G' => Value::Float(input.f64()?),
            0x8a => long(input.counted(1)?),
            0x8b => long(input.counted(4)?),
            b'F' => {
                let line = input.line()?;
                let number = line.trim().parse();
                Value::Float(number.map_err(|_| format!("`{}` is no number", shown(line)))?)
            }
            b'I' | b'L' => match input.line()? {
                line @ ("00" | "01") if code == b'I' => Value::Bool(line == "01"),
                line => {
                    let number = line.trim().trim_end_matches('L').parse();
                    Value::Int(number.map_err(|_| format!("`{}` is no integer of 64 bits", shown(line)))?)
                }
            },
            _ => return Ok(None),
        }))
    }

    fn text(&mut self, code: u8) -> Result<Option<Value>, String> {
        let input = &mut self.input;
        Ok(Some(match code {
            b'X' => Value::Text(utf8(input.counted(4)?)?.into()),
            0x8c => Value::Text(utf8(input.counted(1)?)?.into()),
            0x8d => Value::Text(utf8(input.counted(8)?)?.into()),
            b'T' => narrow(input.counted(4)?),
            b'U' => narrow(input.counted(1)?),
            b'B' => Value::Bytes(input.counted(4)?.into()),
            b'C' => Value::Bytes(input.counted(1)?.into()),
            0x8e | 0x96 => Value::Bytes(input.counted(8)?.into()),
            b'S' => {
                let line = input.line()?;
                let quoted = |quote| line.strip_prefix(quote)?.strip_suffix(quote);
                let inner = quoted('\'').or_else(|| quoted('"'));
                Value::Text(unescape(inner.ok_or("a text without its quotes")?)?.into())
            }
            b'V' => Value::Text(unescape(input.line()?)?.into()),
            _ => return Ok(None),
        }))
    }

    fn collection(&mut self, code: u8) -> Result<Value, String> {
        Ok(match code {
            b')' => Value::Tuple(Vec::new()),
            b't' => Value::Tuple(self.since_mark()?),
            0x85..=0x87 => {
                let mut items = Vec::new();
                for _ in 0x85..=code {
                    items.push(self.pop()?);
                }
                items.reverse();
                Value::Tuple(items)
            }
            b']' | 0x8f => Value::List(Vec::new()),
            b'l' | 0x91 => Value::List(self.since_mark()?),
            b'}' => Value::Dict(Box::default()),
            b'd' => {
                let items = self.since_mark()?;
                let dict = self.heap.add(Value::Dict(Box::default()));
                self.put_all(dict, &items)?;
                std::mem::replace(self.heap.get_mut(dict), Value::None)
            }
            _ => return Err("no opcode of protocols 0 to 5".into()),
        })
    }

    fn put_all(&mut self, dict: Id, items: &[Id]) -> Result<(), String> {
        if !items.len().is_multiple_of(2) {
            return Err("a key without its value".into());
        }
        items
            .chunks_exact(2)
            .try_for_each(|pair| self.heap.put(dict, pair[0], pair[1]))
    }

    fn set_entries(&mut self, code: u8) -> Result<(), String> {
        let items = if code == b's' {
            let (value, key) = (self.pop()?, self.pop()?);
            vec![key, value]
        } else {
            self.since_mark()?
        };
        let dict = self.top()?;
        self.put_all(dict, &items)
    }

    fn extend(&mut self, code: u8) -> Result<(), String> {
        let items = match code {
            b'a' => vec![self.pop()?],
            _ => self.since_mark()?,
        };
        let list = self.top()?;
        match self.heap.get_mut(list) {
            Value::List(list) => list.extend(items),
            other => return Err(format!("items for {}, expected a list", other.what())),
        }
        Ok(())
    }

    fn remember(&mut self, code: u8) -> Result<(), String> {
        let index = match code {
            b'p' => self.index()?,
            b'q' => self.input.u8()?.into(),
            b'r' => self.input.u32()?,
            _ => u32::try_from(self.memo.len()).unwrap_or(u32::MAX),
        };
        let top = self.top()?;
        self.memo.insert(index, top);
        Ok(())
    }

    fn recall(&mut self, code: u8) -> Result<(), String> {
        let index = match code {
            b'g' => self.index()?,
            b'h' => self.input.u8()?.into(),
            _ => self.input.u32()?,
        };
        let id = self.memo.get(&index);
        let id = id.ok_or_else(|| format!("memo {index} was never written"))?;
        self.stack.push(*id);
        Ok(())
    }

    fn index(&mut self) -> Result<u32, String> {
        let line = self.input.line()?;
        line.parse()
            .map_err(|_| format!("`{}` is no place in the memo", shown(line)))
    }

    fn global(&mut self, code: u8) -> Result<(), String> {
        let found = if code == b'c' {
            let (module, name) = (self.input.line()?, self.input.line()?);
            globals::find(module, name).ok_or_else(|| refusal(module, name))?
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            match (self.heap.text(module), self.heap.text(name)) {
                (Some(module), Some(name)) => {
                    globals::find(module, name).ok_or_else(|| refusal(module, name))?
                }
                _ => return Err("a name that is no text".into()),
            }
        };
        self.push(Value::Global(found));
        Ok(())
    }

    /// Attributes of an object. NumPy's arrays have their values there; those of dicts (a state_dict's versions) and of plain
    /// data are of no use here.
    fn build(&mut self) -> Result<(), String> {
        let state = self.pop()?;
        let object = self.top()?;
        if let Some(value) = globals::with_state(&self.heap, self.heap.get(object), state) {
            *self.heap.get_mut(object) = value;
            return Ok(());
        }
        match self.heap.get(object) {
            Value::Dict(_) | Value::Plain(_) | Value::Array(_) | Value::Dtype(..) => Ok(()),
            other => Err(format!("attributes for {}", other.what())),
        }
    }

    fn push(&mut self, value: Value) {
        let id = self.heap.add(value);
        self.stack.push(id);
    }

    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Id, String> {
        let above = &self.stack[self.floor().min(self.stack.len())..];
        above
            .last()
            .copied()
            .ok_or_else(|| "nothing is on the stack".into())
    }

    fn pop(&mut self) -> Result<Id, String> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn since_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("no mark is on the stack")?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }
}

/// Why a name that is not on the list is refused.
fn refusal(module: &str, name: &str) -> String {
    format!(
        "asks for `{}.{}`, which no state_dict needs; nothing of the file was run",
        shown(module),
        shown(name)
    )
}

/// Two's complement, the lowest byte first.
fn long(bytes: &[u8]) -> Value {
    if bytes.len() > 8 {
        return Value::Long(bytes.into());
    }
    let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
    let mut all = [if negative { 0xff } else { 0 }; 8];
    all[..bytes.len()].copy_from_slice(bytes);
    Value::Int(i64::from_le_bytes(all))
}

/// Python 2's text: UTF-8 if it is, else a byte a character.
fn narrow(bytes: &[u8]) -> Value {
    Value::Text(match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => bytes.iter().map(|b| char::from(*b)).collect::<String>().into(),
    })
}

/// Protocol 0's texts, with their backslashes.
fn unescape(text: &str) -> Result<String, String> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        let kind = rest.next().ok_or("a text that ends in a backslash")?;
        let digits = match kind {
            'n' => Ok('\n'),
            't' => Ok('\t'),
            'r' => Ok('\r'),
            '\\' | '\'' | '"' => Ok(kind),
            'x' => Err(2),
            'u' => Err(4),
            'U' => Err(8),
            other => return Err(format!("a text with `\\{}`", other.escape_debug())),
        };
        plain.push(match digits {
            Ok(c) => c,
            Err(count) => {
                let digits: String = rest.by_ref().take(count).collect();
                let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                code.ok_or_else(|| format!("a text with `\\{kind}{}`", shown(&digits)))?
            }
        });
    }
    Ok(plain)
}
