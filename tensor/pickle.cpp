#include "tensor/pickle.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace tessera::pickle {

namespace {

// A state dict of ten thousand tensors has about half a million values.
constexpr size_t kMaxValues = 2'000'000, kMaxSteps = 10'000'000;

}  // namespace

// The stack machine.
class Machine {
 public:
  Machine(std::string_view bytes, const std::string& where, std::span<const std::string_view> globals, Pickle& result)
      : bytes_(bytes), where_(where), globals_(globals), result_(result) {}

  void run() {
    size_t steps = 0;
    while (!result_.root_) {
      TESSERA_CHECK(++steps <= kMaxSteps, "{}: a pickle of more than {} instructions is not read", where_, kMaxSteps);
      step(number<u8>());
    }
    result_.size_ = at_;
  }

 private:
  using Kind = Value::Kind;

  using Run = void (*)(Machine& m);

  void step(u8 code) {
    static const std::array<Run, 256> run_of = instructions();
    if (const Run run = run_of[code]) return run(*this);
    TESSERA_CHECK(protocol_ >= 2, "{}: not a pickle of protocol 2 to 5", where_);
    fail("{}: damaged pickle, or one with an instruction that tensors do not need: 0x{:02X} at byte {}", where_, code,
         at_ - 1);
  }

  // The instructions that are known, by code.
  static std::array<Run, 256> instructions() {
    std::array<Run, 256> of{};
    of[0x80] = [](Machine& m) { m.read_protocol(); };
    of[0x95] = [](Machine& m) { m.take(8); };  // FRAME: a hint for readers of streams
    of['.'] = [](Machine& m) { m.result_.root_ = m.pop(); };
    of['('] = [](Machine& m) { m.marks_.push_back(m.stack_.size()); };
    of['0'] = [](Machine& m) { m.pop_value_or_mark(); };
    of['1'] = [](Machine& m) { m.pop_mark(); };
    of['2'] = [](Machine& m) { m.stack_.push_back(m.top()); };

    of['N'] = [](Machine& m) { m.push(Kind::kNone); };
    of[0x88] = [](Machine& m) { m.push(Kind::kBool).integer = true; };
    of[0x89] = [](Machine& m) { m.push(Kind::kBool).integer = false; };
    of['J'] = [](Machine& m) { m.push(Kind::kInteger).integer = m.number<i32>(); };
    of['K'] = [](Machine& m) { m.push(Kind::kInteger).integer = m.number<u8>(); };
    of['M'] = [](Machine& m) { m.push(Kind::kInteger).integer = m.number<u16>(); };
    of[0x8A] = [](Machine& m) { m.push_long(m.take(m.number<u8>())); };
    of[0x8B] = [](Machine& m) { m.push_long(m.take(m.number<u32>())); };
    of['G'] = [](Machine& m) { m.push_float(m.number<u64>()); };
    of['U'] = of[0x8C] = [](Machine& m) { m.push_bytes<u8>(Kind::kText); };
    of['T'] = of['X'] = [](Machine& m) { m.push_bytes<u32>(Kind::kText); };
    of[0x8D] = [](Machine& m) { m.push_bytes<u64>(Kind::kText); };
    of['C'] = [](Machine& m) { m.push_bytes<u8>(Kind::kBytes); };
    of['B'] = [](Machine& m) { m.push_bytes<u32>(Kind::kBytes); };
    of[0x8E] = of[0x96] = [](Machine& m) { m.push_bytes<u64>(Kind::kBytes); };

    of[']'] = of[0x8F] = [](Machine& m) { m.push(Kind::kList); };  // the second: EMPTY_SET
    of['l'] = of[0x91] = [](Machine& m) { m.push_items(Kind::kList, m.pop_mark()); };
    of['a'] = [](Machine& m) { m.fill(Kind::kList, {m.pop()}); };
    of['e'] = of[0x90] = [](Machine& m) { m.fill(Kind::kList, m.pop_mark()); };
    of[')'] = [](Machine& m) { m.push(Kind::kTuple); };
    of['t'] = [](Machine& m) { m.push_items(Kind::kTuple, m.pop_mark()); };
    of[0x85] = [](Machine& m) { m.push_items(Kind::kTuple, m.pop(1)); };
    of[0x86] = [](Machine& m) { m.push_items(Kind::kTuple, m.pop(2)); };
    of[0x87] = [](Machine& m) { m.push_items(Kind::kTuple, m.pop(3)); };
    of['}'] = [](Machine& m) { m.push(Kind::kDict); };
    of['d'] = [](Machine& m) { m.push_items(Kind::kDict, m.pop_mark()); };
    of['s'] = [](Machine& m) { m.fill(Kind::kDict, m.pop(2)); };
    of['u'] = [](Machine& m) { m.fill(Kind::kDict, m.pop_mark()); };

    of['c'] = [](Machine& m) { m.import_lines(); };
    of[0x93] = [](Machine& m) { m.import_names(); };
    of['R'] = of[0x81] = [](Machine& m) { m.note_call(); };
    of['b'] = [](Machine& m) { m.note_state(m.pop()); };
    of['Q'] = [](Machine& m) { m.note_persistent(m.pop()); };

    of['h'] = [](Machine& m) { m.stack_.push_back(m.memo(m.number<u8>())); };
    of['j'] = [](Machine& m) { m.stack_.push_back(m.memo(m.number<u32>())); };
    of['q'] = [](Machine& m) { m.memo_[m.number<u8>()] = m.top(); };
    of['r'] = [](Machine& m) { m.memo_[m.number<u32>()] = m.top(); };
    of[0x94] = [](Machine& m) { m.memo_[static_cast<u32>(m.memo_.size())] = m.top(); };
    return of;
  }

  void read_protocol() {
    protocol_ = number<u8>();
    TESSERA_CHECK(protocol_ >= 2 && protocol_ <= 5, "{}: pickle protocol {} is not read, 2 to 5 are", where_,
                  protocol_);
  }
  void pop_value_or_mark() {
    if (!marks_.empty() && marks_.back() == stack_.size())
      marks_.pop_back();
    else
      pop();
  }
  void import_lines() {
    const std::string_view module = line();
    push_global(module, line());
  }
  void import_names() {
    const std::vector<const Value*> names = pop(2);
    TESSERA_CHECK(names[0]->is(Kind::kText) && names[1]->is(Kind::kText),
                  "{}: damaged pickle: the name to import is no text", where_);
    push_global(names[0]->text, names[1]->text);
  }
  void note_call() {
    const std::vector<const Value*> parts = pop(2);
    TESSERA_CHECK(parts[0]->is(Kind::kGlobal) && parts[1]->is(Kind::kTuple),
                  "{}: damaged pickle: a call without function or arguments", where_);
    Value& call = push(Kind::kCall);
    call.function = parts[0];
    call.arguments = parts[1];
  }
  void note_state(const Value* state) {
    Value* object = top();
    TESSERA_CHECK(object->is(Kind::kCall), "{}: damaged pickle: a state for what is no object", where_);
    object->state = state;
  }
  void note_persistent(const Value* id) { push(Kind::kPersistent).arguments = id; }

  // The bytes.
  std::string_view take(u64 count) {
    TESSERA_CHECK(count <= bytes_.size() - at_, "{}: truncated pickle: {} bytes are needed at byte {}, {} are left",
                  where_, count, at_, bytes_.size() - at_);
    const std::string_view part = bytes_.substr(at_, count);
    at_ += count;
    return part;
  }
  template <class T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::string_view line() {
    const size_t end = bytes_.find('\n', at_);
    TESSERA_CHECK(end != std::string_view::npos, "{}: truncated pickle: a name has no end", where_);
    const std::string_view text = take(end - at_);
    ++at_;
    return text;
  }

  // The stack. What lies below the last mark is out of reach.
  Value& push(Kind kind) {
    TESSERA_CHECK(result_.values_.size() < kMaxValues, "{}: a pickle of more than {} values is not read", where_,
                  kMaxValues);
    Value& value = result_.values_.emplace_back();
    value.kind = kind;
    stack_.push_back(&value);
    return value;
  }
  void push_items(Kind kind, std::vector<const Value*> items) {
    check_pairs(kind, items);
    push(kind).items = std::move(items);
  }
  void push_float(u64 big_endian) { push(Kind::kFloat).number = std::bit_cast<double>(__builtin_bswap64(big_endian)); }
  template <class Size>
  void push_bytes(Kind kind) {
    push(kind).text = take(number<Size>());
  }
  void push_long(std::string_view bytes) {
    if (bytes.size() > 8) {
      push(Kind::kLong).text = bytes;
      return;
    }
    const bool negative = !bytes.empty() && static_cast<u8>(bytes.back()) >= 0x80;
    i64 value = negative ? -1 : 0;
    if (!bytes.empty()) std::memcpy(&value, bytes.data(), bytes.size());
    push(Kind::kInteger).integer = value;
  }
  void push_global(std::string_view module, std::string_view name) {
    const auto known = std::find_if(globals_.begin(), globals_.end(), [&](std::string_view allowed) {
      return allowed.size() == module.size() + 1 + name.size() && allowed.starts_with(module) &&
             allowed[module.size()] == '.' && allowed.ends_with(name);
    });
    TESSERA_CHECK(known != globals_.end(),
                  "{}: the pickle asks for {}.{}, which tensors do not need; nothing was executed. A file of tensors "
                  "alone comes from torch.save(model.state_dict(), ...)",
                  where_, printable(module), printable(name));
    push(Kind::kGlobal).text = *known;
  }
  Value* top() {
    TESSERA_CHECK(stack_.size() > floor(), "{}: damaged pickle: nothing on the stack at byte {}", where_, at_);
    return stack_.back();
  }
  const Value* pop() {
    const Value* value = top();
    stack_.pop_back();
    return value;
  }
  std::vector<const Value*> pop(size_t count) {
    TESSERA_CHECK(stack_.size() >= floor() + count, "{}: damaged pickle: too little on the stack at byte {}", where_,
                  at_);
    std::vector<const Value*> values(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return values;
  }
  std::vector<const Value*> pop_mark() {
    TESSERA_CHECK(!marks_.empty(), "{}: damaged pickle: a mark is missing at byte {}", where_, at_);
    std::vector<const Value*> values = pop(stack_.size() - marks_.back());
    marks_.pop_back();
    return values;
  }
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }

  // Appends to the list or dict on top of the stack, or to the object that behaves like one.
  void fill(Kind kind, const std::vector<const Value*>& items) {
    check_pairs(kind, items);
    Value* target = top();
    TESSERA_CHECK(target->is(kind) || target->is(Kind::kCall), "{}: damaged pickle: items for what is no container",
                  where_);
    target->items.insert(target->items.end(), items.begin(), items.end());
  }
  void check_pairs(Kind kind, const std::vector<const Value*>& items) const {
    TESSERA_CHECK(kind != Kind::kDict || items.size() % 2 == 0, "{}: damaged pickle: a key without a value", where_);
  }
  Value* memo(u32 index) const {
    const auto found = memo_.find(index);
    TESSERA_CHECK(found != memo_.end(), "{}: damaged pickle: value {} is used before it is made", where_, index);
    return found->second;
  }
  static std::string printable(std::string_view text) {
    std::string result(text.substr(0, 100));
    std::replace_if(
        result.begin(), result.end(), [](char c) { return c < 0x20 || c == 0x7F; }, '?');
    return result;
  }

  std::string_view bytes_;
  const std::string& where_;
  std::span<const std::string_view> globals_;
  Pickle& result_;
  size_t at_ = 0;
  int protocol_ = 0;
  std::vector<Value*> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<u32, Value*> memo_;
};

Pickle::Pickle(std::string_view bytes, const std::string& where, std::span<const std::string_view> globals) {
  Machine(bytes, where, globals, *this).run();
}

}  // namespace tessera::pickle
