#include "tensor/pickle.h"

#include <algorithm>
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

  void step(u8 code) {
    switch (code) {
      case 0x80:  // PROTO
        protocol_ = number<u8>();
        TESSERA_CHECK(protocol_ >= 2 && protocol_ <= 5, "{}: pickle protocol {} is not read, 2 to 5 are", where_,
                      protocol_);
        return;
      case 0x95:  // FRAME: a hint for readers of streams
        take(8);
        return;
      case '.':
        result_.root_ = pop();
        return;
      case '(':
        marks_.push_back(stack_.size());
        return;
      case '0':
        if (!marks_.empty() && marks_.back() == stack_.size())
          marks_.pop_back();
        else
          pop();
        return;
      case '1':
        pop_mark();
        return;
      case '2':
        stack_.push_back(top());
        return;

      case 'N':
        push(Kind::kNone);
        return;
      case 0x88:
      case 0x89:
        push(Kind::kBool).integer = code == 0x88;
        return;
      case 'J':
        push(Kind::kInteger).integer = number<i32>();
        return;
      case 'K':
        push(Kind::kInteger).integer = number<u8>();
        return;
      case 'M':
        push(Kind::kInteger).integer = number<u16>();
        return;
      case 0x8A:  // LONG1
        push_long(take(number<u8>()));
        return;
      case 0x8B:  // LONG4
        push_long(take(number<u32>()));
        return;
      case 'G':
        push(Kind::kFloat).number = std::bit_cast<double>(__builtin_bswap64(number<u64>()));
        return;
      case 'U':
      case 0x8C:
        push(Kind::kText).text = take(number<u8>());
        return;
      case 'T':
      case 'X':
        push(Kind::kText).text = take(number<u32>());
        return;
      case 0x8D:
        push(Kind::kText).text = take(number<u64>());
        return;
      case 'C':
        push(Kind::kBytes).text = take(number<u8>());
        return;
      case 'B':
        push(Kind::kBytes).text = take(number<u32>());
        return;
      case 0x8E:
      case 0x96:
        push(Kind::kBytes).text = take(number<u64>());
        return;

      case ']':
      case 0x8F:  // EMPTY_SET
        push(Kind::kList);
        return;
      case 'l':
      case 0x91:  // FROZENSET
        push_items(Kind::kList, pop_mark());
        return;
      case 'a':
        fill(Kind::kList, {pop()});
        return;
      case 'e':
      case 0x90:  // ADDITEMS
        fill(Kind::kList, pop_mark());
        return;
      case ')':
        push(Kind::kTuple);
        return;
      case 't':
        push_items(Kind::kTuple, pop_mark());
        return;
      case 0x85:
      case 0x86:
      case 0x87:
        push_items(Kind::kTuple, pop(static_cast<size_t>(code - 0x84)));
        return;
      case '}':
        push(Kind::kDict);
        return;
      case 'd':
        push_items(Kind::kDict, pop_mark());
        return;
      case 's':
        fill(Kind::kDict, pop(2));
        return;
      case 'u':
        fill(Kind::kDict, pop_mark());
        return;

      case 'c': {
        const std::string_view module = line();
        push_global(module, line());
        return;
      }
      case 0x93: {  // STACK_GLOBAL
        const std::vector<const Value*> names = pop(2);
        TESSERA_CHECK(names[0]->is(Kind::kText) && names[1]->is(Kind::kText),
                      "{}: damaged pickle: the name to import is no text", where_);
        push_global(names[0]->text, names[1]->text);
        return;
      }
      case 'R':
      case 0x81: {  // NEWOBJ
        const std::vector<const Value*> parts = pop(2);
        TESSERA_CHECK(parts[0]->is(Kind::kGlobal) && parts[1]->is(Kind::kTuple),
                      "{}: damaged pickle: a call without function or arguments", where_);
        Value& call = push(Kind::kCall);
        call.function = parts[0];
        call.arguments = parts[1];
        return;
      }
      case 'b': {  // BUILD
        const Value* state = pop();
        Value* object = top();
        TESSERA_CHECK(object->is(Kind::kCall), "{}: damaged pickle: a state for what is no object", where_);
        object->state = state;
        return;
      }
      case 'Q': {
        const Value* id = pop();
        push(Kind::kPersistent).arguments = id;
        return;
      }

      case 'h':
        stack_.push_back(memo(number<u8>()));
        return;
      case 'j':
        stack_.push_back(memo(number<u32>()));
        return;
      case 'q':
        memo_[number<u8>()] = top();
        return;
      case 'r':
        memo_[number<u32>()] = top();
        return;
      case 0x94:  // MEMOIZE
        memo_[static_cast<u32>(memo_.size())] = top();
        return;
      default:
        TESSERA_CHECK(protocol_ >= 2, "{}: not a pickle of protocol 2 to 5", where_);
        fail("{}: damaged pickle, or one with an instruction that tensors do not need: 0x{:02X} at byte {}", where_,
             code, at_ - 1);
    }
  }

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
