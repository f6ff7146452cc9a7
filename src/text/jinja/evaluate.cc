#include "text/jinja/evaluate.h"

#include <map>

#include "base/error.h"

namespace qsweep::text::jinja {
namespace {

// Of work, counted in statements, expressions, and the values that these make: their parts and their bytes.
constexpr int64_t kMaxSteps = 10'000'000, kBytesOfAStep = 16, kStepsOfARound = 500;
constexpr int kMaxCalls = 100;  // of macros within each other

template <class... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};
template <class... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;

using Scope = std::map<std::string, Value, std::less<>>;

class Evaluator {
 public:
  explicit Evaluator(const Value& variables) {
    scopes_.emplace_back();
    for (const auto& [name, value] : variables.items()) scopes_.back()[name] = value;
  }

  std::string run(const Block& block) {
    if (execute(block)) fail("continue or break outside of a for");
    return std::move(out_);
  }

 private:
  // Of a loop: what comes before and behind the item of this round.
  struct Round {
    const std::vector<Value>* items;
    size_t index;
  };

  void charge(int64_t steps) {
    steps_ += steps;
    if (steps_ > kMaxSteps) fail("the template takes more than {} steps", kMaxSteps);
  }

  static int64_t cost(const Value& value) {
    if (value.is_string()) return 1 + std::ssize(value.get_ref<const std::string&>()) / kBytesOfAStep;
    int64_t sum = 1;
    if (value.is_structured())
      for (const Value& item : value) sum += cost(item);
    return sum;
  }

  // --- Statements. A jump that is not done yet is handed on.

  std::optional<Jump> execute(const Block& block) {
    for (const Statement& statement : block) {
      charge(1);
      const std::optional<Jump> jump = std::visit(
          Overloaded{[&](const Text& text) { return out_ += text.text, none(); },
                     [&](const Output& output) { return out_ += to_text(value(output.value)), none(); },
                     [&](const If& branches) { return execute_if(branches); },
                     [&](const For& loop) { return execute_for(loop); },
                     [&](const Set& set) { return assign(set), none(); },
                     [&](const Macro& macro) { return macros_[macro.name] = &macro, none(); },
                     [&](Jump there) { return std::optional(there); }},
          statement.node);
      if (jump) return jump;
    }
    return std::nullopt;
  }
  static std::optional<Jump> none() { return std::nullopt; }

  std::optional<Jump> execute_if(const If& branches) {
    for (const auto& [condition, body] : branches.branches)
      if (is_true(value(condition))) return execute(body);
    return execute(branches.otherwise);
  }

  void bind(const std::vector<std::string>& targets, const Value& item) {
    if (targets.size() == 1) {
      scopes_.back()[targets[0]] = item;
      return;
    }
    const std::vector<Value> items = items_of(item);
    if (items.size() != targets.size()) fail("{} values for {} names", items.size(), targets.size());
    for (size_t i = 0; i < items.size(); ++i) scopes_.back()[targets[i]] = items[i];
  }

  std::vector<Value> items_left(const For& loop) {
    std::vector<Value> items = items_of(value(loop.list));
    if (loop.condition == nullptr) return items;
    std::vector<Value> left;
    for (Value& item : items) {
      scopes_.emplace_back();
      bind(loop.targets, item);
      if (is_true(value(loop.condition))) left.push_back(std::move(item));
      scopes_.pop_back();
    }
    return left;
  }

  std::optional<Jump> execute_for(const For& loop) {
    const std::vector<Value> items = items_left(loop);
    if (items.empty()) return execute(loop.otherwise);
    const auto count = static_cast<int64_t>(items.size());
    for (int64_t i = 0; i < count; ++i) {
      charge(kStepsOfARound);
      rounds_.push_back({&items, static_cast<size_t>(i)});
      scopes_.emplace_back();
      scopes_.back()["loop"] = {
          {"index0", i},     {"index", i + 1},        {"first", i == 0},           {"last", i + 1 == count},
          {"length", count}, {"revindex", count - i}, {"revindex0", count - i - 1}};
      bind(loop.targets, items[static_cast<size_t>(i)]);
      const std::optional<Jump> jump = execute(loop.body);
      scopes_.pop_back();
      rounds_.pop_back();
      if (jump == Jump::leave) break;
    }
    return std::nullopt;
  }

  void assign(const Set& set) {
    Value assigned = set.value != nullptr ? value(set.value) : Value(written(set.body));
    if (set.attribute.empty()) {
      scopes_.back()[set.name] = std::move(assigned);
      return;
    }
    Value* const object = find(set.name);
    if (object == nullptr || !object->is_object()) fail("{} is no namespace", set.name);
    (*object)[set.attribute] = std::move(assigned);
  }

  // What a block writes.
  std::string written(const Block& block) {
    std::string before = std::move(out_);
    out_.clear();
    if (execute(block)) fail("continue or break outside of a for");
    std::swap(out_, before);
    return before;
  }

  // --- Expressions

  Value* find(std::string_view name) {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope)
      if (const auto found = scope->find(name); found != scope->end()) return &found->second;
    return nullptr;
  }

  // The value itself where it lies in a variable, so that dialogues are not copied for each of their words.
  const Value* place(const Expr& expr) {
    if (const auto* name = std::get_if<Name>(&expr.node)) return find(name->name);
    const auto* attribute = std::get_if<Attribute>(&expr.node);
    const auto* index = std::get_if<Index>(&expr.node);
    if (attribute == nullptr && index == nullptr) return nullptr;
    const Value* const of = place(attribute != nullptr ? *attribute->of : *index->of);
    if (of == nullptr) return nullptr;
    const Value key = attribute != nullptr ? Value(attribute->name) : value(index->key);
    if (of->is_object() && key.is_string()) {
      const auto found = of->find(key.get<std::string>());
      return found == of->end() ? nullptr : &*found;
    }
    if (!of->is_array() || !key.is_number_integer()) return nullptr;
    auto at = key.get<int64_t>();
    if (at < 0) at += std::ssize(*of);
    return at < 0 || at >= std::ssize(*of) ? nullptr : &(*of)[static_cast<size_t>(at)];
  }

  Value value(const ExprPtr& expr) {
    const Value* const found = place(*expr);
    Value result = found != nullptr
                       ? *found
                       : std::visit([this](const auto& node) { return evaluate(node); }, expr->node);
    charge(cost(result));
    return result;
  }

  Value evaluate(const Literal& literal) {
    return std::visit(
        Overloaded{[](None) { return Value(); }, [](const auto& known) { return Value(known); }},
        literal.value);
  }
  Value evaluate(const Name&) { return undefined(); }
  Value evaluate(const ListLiteral& list) {
    Value items = Value::array();
    for (const ExprPtr& item : list.items) items.push_back(value(item));
    return items;
  }
  Value evaluate(const DictLiteral& dict) {
    Value items = Value::object();
    for (const auto& [key, item] : dict.items) items[to_text(value(key))] = value(item);
    return items;
  }
  Value evaluate(const Attribute& attribute) {
    const auto* const name = std::get_if<Name>(&attribute.of->node);
    if (name != nullptr && name->name == "loop" && !rounds_.empty()) {
      const auto& [items, index] = rounds_.back();
      if (attribute.name == "previtem") return index == 0 ? undefined() : (*items)[index - 1];
      if (attribute.name == "nextitem") return index + 1 == items->size() ? undefined() : (*items)[index + 1];
    }
    return element(value(attribute.of), attribute.name);
  }
  Value evaluate(const Index& index) { return element(value(index.of), value(index.key)); }
  Value evaluate(const Slice& slice_of) {
    const auto bound = [this](const ExprPtr& expr) -> std::optional<int64_t> {
      const Value at = expr == nullptr ? Value() : value(expr);
      if (at.is_null()) return std::nullopt;
      if (!at.is_number_integer()) fail("a slice that does not begin or end at a whole number");
      return at.get<int64_t>();
    };
    const Value of = value(slice_of.of);
    const auto begin = bound(slice_of.begin), end = bound(slice_of.end);
    return slice(of, begin, end, bound(slice_of.step));
  }
  Value evaluate(const Filter& filter) {
    const Value of = value(filter.of);
    return apply_filter(filter.name, of, arguments_of(filter.arguments));
  }
  Value evaluate(const Test& test) {
    const auto* const name = std::get_if<Name>(&test.of->node);
    if (name != nullptr && find(name->name) == nullptr &&
        (is_function(name->name) || macros_.contains(name->name)))
      return test.name == "defined";
    const Value of = value(test.of);
    return apply_test(test.name, of, arguments_of(test.arguments));
  }
  Value evaluate(const Not& negation) { return !is_true(value(negation.of)); }
  Value evaluate(const Minus& minus) { return binary("-", 0, value(minus.of)); }
  Value evaluate(const Binary& operation) {
    Value left = value(operation.left);
    if (operation.op == "or") return is_true(left) ? left : value(operation.right);
    if (operation.op == "and") return is_true(left) ? value(operation.right) : left;
    return binary(operation.op, left, value(operation.right));
  }
  Value evaluate(const Choice& choice) {
    if (is_true(value(choice.condition))) return value(choice.yes);
    return choice.no == nullptr ? undefined() : value(choice.no);
  }

  CallArguments arguments_of(const Arguments& given) {
    CallArguments all;
    for (const Argument& argument : given) {
      if (argument.name.empty())
        all.values.push_back(value(argument.value));
      else
        all.named.emplace_back(argument.name, value(argument.value));
    }
    return all;
  }

  Value evaluate(const Call& call) {
    const CallArguments arguments = arguments_of(call.arguments);
    if (const auto* const method = std::get_if<Attribute>(&call.callee->node))
      return call_method(method->name, value(method->of), arguments);
    const auto* const name = std::get_if<Name>(&call.callee->node);
    if (name == nullptr) fail("a call of what is no name");
    if (const auto macro = macros_.find(name->name); macro != macros_.end())
      return call_macro(*macro->second, arguments);
    if (auto result = call_function(name->name, arguments)) return *std::move(result);
    fail("the function \"{}\" is not supported", name->name);
  }

  // A macro sees its parameters and the variables of the template itself.
  Value call_macro(const Macro& macro, const CallArguments& arguments) {
    if (++calls_ > kMaxCalls) fail("macros call each other more than {} times", kMaxCalls);
    Scope parameters;
    for (size_t i = 0; i < macro.parameters.size(); ++i) {
      const auto& [name, absent] = macro.parameters[i];
      parameters[name] = arguments.get(i, name, absent == nullptr ? undefined() : value(absent));
    }
    std::vector<Scope> inner;
    inner.push_back(std::move(scopes_.front()));
    inner.push_back(std::move(parameters));
    std::swap(scopes_, inner);
    Value text = written(macro.body);
    inner.front() = std::move(scopes_.front());
    std::swap(scopes_, inner);
    --calls_;
    return text;
  }

  std::vector<Scope> scopes_;
  std::vector<Round> rounds_;
  std::map<std::string, const Macro*, std::less<>> macros_;
  std::string out_;
  int64_t steps_ = 0;
  int calls_ = 0;
};

}  // namespace

std::string render(const Block& block, const Value& variables) { return Evaluator(variables).run(block); }

}  // namespace qsweep::text::jinja
