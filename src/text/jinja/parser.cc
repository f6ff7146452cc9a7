#include "text/jinja/parser.h"

#include <algorithm>
#include <array>
#include <initializer_list>

#include "base/error.h"
#include "text/jinja/lexer.h"

namespace qsweep::text::jinja {
namespace {

constexpr int kMaxDepth = 100;  // of nested expressions, and of nested blocks

template <class Node>
ExprPtr expr(Node node) {
  return std::make_unique<Expr>(Expr{std::move(node)});
}

// Counts the levels of a recursion while it lives.
class Level {
 public:
  explicit Level(int& depth) : depth_(depth) {
    if (++depth_ > kMaxDepth) fail("nesting is deeper than {} levels", kMaxDepth);
  }
  ~Level() { --depth_; }
  Level(const Level&) = delete;
  Level& operator=(const Level&) = delete;

 private:
  int& depth_;
};

// The expressions of one tag, loosest binding first, as Jinja's grammar has them.
class ExprParser {
 public:
  explicit ExprParser(const std::vector<Token>& tokens) : next_(tokens.data()) {}

  bool takes_name(std::string_view name) {
    if (next_->kind != Token::Kind::name || next_->text != name) return false;
    ++next_;
    return true;
  }
  bool takes_sign(std::string_view sign) {
    if (next_->kind != Token::Kind::sign || next_->text != sign) return false;
    ++next_;
    return true;
  }
  void expect_sign(std::string_view sign) {
    if (!takes_sign(sign)) refuse(sign);
  }
  std::string name() {
    if (next_->kind != Token::Kind::name) refuse("a name");
    return next_++->text;
  }
  void expect_end() {
    if (next_->kind != Token::Kind::end) refuse("the end of the tag");
  }
  bool at_end() const { return next_->kind == Token::Kind::end; }

  ExprPtr whole() {
    ExprPtr parsed = expression();
    expect_end();
    return parsed;
  }

  ExprPtr expression() {
    const Level level(depth_);
    ExprPtr yes = disjunction();
    while (takes_name("if")) {
      ExprPtr condition = disjunction();
      ExprPtr no = takes_name("else") ? expression() : nullptr;
      yes = expr(Choice{std::move(condition), std::move(yes), std::move(no)});
    }
    return yes;
  }

  // Without `if`, which ends the list of a for.
  ExprPtr disjunction() {
    return words({"or"}, [this] { return words({"and"}, [this] { return negation(); }); });
  }

  Arguments arguments() {
    Arguments all;
    while (!takes_sign(")")) {
      if (!all.empty()) {
        expect_sign(",");
        if (takes_sign(")")) break;
      }
      Argument argument;
      if (next_->kind == Token::Kind::name && next_[1].kind == Token::Kind::sign && next_[1].text == "=") {
        argument.name = name();
        expect_sign("=");
      }
      argument.value = expression();
      all.push_back(std::move(argument));
    }
    return all;
  }

 private:
  [[noreturn]] void refuse(std::string_view expected) const {
    const bool end = next_->kind == Token::Kind::end;
    fail("expected {}, found {}", expected, end ? "the end of the tag" : "\"" + next_->text + "\"");
  }

  template <class Lower>
  ExprPtr words(std::initializer_list<std::string_view> operators, Lower lower) {
    return left_to_right(operators, Token::Kind::name, lower);
  }
  template <class Lower>
  ExprPtr left_to_right(std::initializer_list<std::string_view> operators, Token::Kind kind, Lower lower) {
    ExprPtr left = lower();
    while (next_->kind == kind && std::ranges::find(operators, next_->text) != operators.end()) {
      std::string op = next_++->text;
      ExprPtr right = lower();
      left = expr(Binary{std::move(op), std::move(left), std::move(right)});
    }
    return left;
  }

  ExprPtr negation() {
    const Level level(depth_);
    if (takes_name("not")) return expr(Not{negation()});
    return comparison();
  }

  ExprPtr comparison() {
    ExprPtr left = sum();
    for (;;) {
      const bool negated = next_->text == "not" && next_[1].text == "in" && takes_name("not");
      if (takes_name("in")) {
        ExprPtr right = sum();
        left = expr(Binary{"in", std::move(left), std::move(right)});
        if (negated) left = expr(Not{std::move(left)});
        continue;
      }
      static constexpr std::array<std::string_view, 6> kSigns{"==", "!=", "<", "<=", ">", ">="};
      if (next_->kind != Token::Kind::sign || std::ranges::find(kSigns, next_->text) == kSigns.end())
        return left;
      std::string op = next_++->text;
      ExprPtr right = sum();
      left = expr(Binary{std::move(op), std::move(left), std::move(right)});
    }
  }

  template <class Lower>
  ExprPtr signs(std::initializer_list<std::string_view> operators, Lower lower) {
    return left_to_right(operators, Token::Kind::sign, lower);
  }
  ExprPtr sum() {
    return signs({"+", "-"}, [this] {
      return signs({"~"}, [this] { return signs({"*", "//", "%"}, [this] { return unary(); }); });
    });
  }

  ExprPtr unary() {
    const Level level(depth_);
    if (takes_sign("-")) return filters(expr(Minus{postfix(primary())}));
    return filters(postfix(primary()));
  }

  ExprPtr primary() {
    const Token& token = *next_;
    if (token.kind == Token::Kind::string) return string_literal();
    if (token.kind == Token::Kind::integer) return ++next_, expr(Literal{token.integer});
    if (token.kind == Token::Kind::name) return name_or_constant();
    if (takes_sign("(")) return parenthesis();
    if (takes_sign("[")) return expr(ListLiteral{items("]")});
    if (takes_sign("{")) return dict();
    refuse("an expression");
  }

  // Strings side by side are one.
  ExprPtr string_literal() {
    std::string value;
    while (next_->kind == Token::Kind::string) value += next_++->text;
    return expr(Literal{std::move(value)});
  }

  ExprPtr name_or_constant() {
    std::string text = name();
    if (text == "true" || text == "True") return expr(Literal{true});
    if (text == "false" || text == "False") return expr(Literal{false});
    if (text == "none" || text == "None") return expr(Literal{None{}});
    return expr(Name{std::move(text)});
  }

  // A tuple is a list.
  ExprPtr parenthesis() {
    ExprPtr first = expression();
    if (takes_sign(")")) return first;
    expect_sign(",");
    ListLiteral list{items(")")};
    list.items.insert(list.items.begin(), std::move(first));
    return expr(std::move(list));
  }

  std::vector<ExprPtr> items(std::string_view end) {
    std::vector<ExprPtr> all;
    while (!takes_sign(end)) {
      if (!all.empty()) {
        expect_sign(",");
        if (takes_sign(end)) break;
      }
      all.push_back(expression());
    }
    return all;
  }

  ExprPtr dict() {
    DictLiteral literal;
    while (!takes_sign("}")) {
      if (!literal.items.empty()) {
        expect_sign(",");
        if (takes_sign("}")) break;
      }
      ExprPtr key = expression();
      expect_sign(":");
      literal.items.emplace_back(std::move(key), expression());
    }
    return expr(std::move(literal));
  }

  ExprPtr postfix(ExprPtr of) {
    for (;;) {
      if (takes_sign(".")) {
        of = expr(Attribute{std::move(of), name()});
      } else if (takes_sign("[")) {
        of = subscript(std::move(of));
      } else if (takes_sign("(")) {
        of = expr(Call{std::move(of), arguments()});
      } else {
        return of;
      }
    }
  }

  ExprPtr subscript(ExprPtr of) {
    const auto bound = [this]() -> ExprPtr {
      const bool none = next_->kind == Token::Kind::sign && (next_->text == ":" || next_->text == "]");
      return none ? nullptr : expression();
    };
    ExprPtr first = bound();
    if (takes_sign("]")) {
      if (first == nullptr) refuse("an index");
      return expr(Index{std::move(of), std::move(first)});
    }
    expect_sign(":");
    Slice slice{std::move(of), std::move(first), bound(), nullptr};
    if (takes_sign(":")) slice.step = bound();
    expect_sign("]");
    return expr(std::move(slice));
  }

  ExprPtr filters(ExprPtr of) {
    for (;;) {
      if (takes_sign("|")) {
        std::string filter = name();
        of = expr(Filter{std::move(of), std::move(filter), takes_sign("(") ? arguments() : Arguments()});
        of = postfix(std::move(of));
      } else if (takes_name("is")) {
        of = test(std::move(of));
      } else {
        return of;
      }
    }
  }

  // An argument may stand behind the test's name without parentheses.
  ExprPtr test(ExprPtr of) {
    const bool negated = takes_name("not");
    Test parsed{std::move(of), name(), {}};
    if (takes_sign("(")) {
      parsed.arguments = arguments();
    } else if (begins_argument()) {
      parsed.arguments.push_back({{}, postfix(primary())});
    }
    ExprPtr result = expr(std::move(parsed));
    return negated ? expr(Not{std::move(result)}) : std::move(result);
  }

  bool begins_argument() const {
    static constexpr std::array<std::string_view, 7> kWords{"and", "or", "else", "if", "is", "in", "not"};
    if (next_->kind == Token::Kind::name) return std::ranges::find(kWords, next_->text) == kWords.end();
    return next_->kind == Token::Kind::string || next_->kind == Token::Kind::integer ||
           (next_->kind == Token::Kind::sign && (next_->text == "[" || next_->text == "{"));
  }

  const Token* next_;
  int depth_ = 0;
};

class BlockParser {
 public:
  explicit BlockParser(const std::vector<Segment>& segments) : segments_(segments) {}

  Block run() {
    Block block = until({});
    return block;
  }

 private:
  // Statements up to one that begins with a word of `ends`, which is then the next; with none, to the end.
  Block until(std::initializer_list<std::string_view> ends) {
    const Level level(depth_);
    Block block;
    for (; next_ < segments_.size(); ++next_) {
      const Segment& segment = segments_[next_];
      if (segment.kind == Segment::Kind::text) {
        block.push_back({Text{segment.text}});
      } else if (segment.kind == Segment::Kind::output) {
        block.push_back({Output{ExprParser(segment.tokens).whole()}});
      } else {
        if (std::ranges::find(ends, segment.tokens[0].text) != ends.end()) return block;
        statement(segment, block);
      }
    }
    if (ends.size() != 0) fail("block without {}", *(ends.end() - 1));
    return block;
  }

  void statement(const Segment& segment, Block& block) {
    ExprParser tag(segment.tokens);
    const std::string word = tag.name();
    if (word == "if") return add_if(tag, block);
    if (word == "for") return add_for(tag, block);
    if (word == "set") return add_set(tag, block);
    if (word == "macro") return add_macro(tag, block);
    if (word == "generation" || word == "endgeneration")
      return tag.expect_end();  // marks answers, says nothing
    if (word != "continue" && word != "break")
      fail("\"{}\" is not supported; supported: if, for, set, macro, continue, break, generation", word);
    tag.expect_end();
    block.push_back({word == "continue" ? Jump::next : Jump::leave});
  }

  // The tag that has ended a block, without its first word.
  ExprParser ending() const {
    ExprParser tag(segments_[next_].tokens);
    tag.name();
    return tag;
  }
  std::string_view ending_word() const { return segments_[next_].tokens[0].text; }

  void add_if(ExprParser& tag, Block& block) {
    If parsed;
    ExprPtr condition = tag.whole();
    for (;;) {
      ++next_;
      Block body = until({"elif", "else", "endif"});
      if (condition != nullptr) {
        parsed.branches.emplace_back(std::move(condition), std::move(body));
      } else {
        parsed.otherwise = std::move(body);
      }
      if (ending_word() == "endif") break;
      condition = ending_word() == "elif" ? ending().whole() : nullptr;
    }
    block.push_back({std::move(parsed)});
  }

  void add_for(ExprParser& tag, Block& block) {
    For parsed;
    const bool parenthesis = tag.takes_sign("(");
    do parsed.targets.push_back(tag.name());
    while (tag.takes_sign(","));
    if (parenthesis) tag.expect_sign(")");
    if (!tag.takes_name("in")) fail("expected \"in\" behind the names of a for");
    parsed.list = tag.disjunction();
    if (tag.takes_name("if")) parsed.condition = tag.expression();
    tag.expect_end();
    ++next_;
    parsed.body = until({"else", "endfor"});
    if (ending_word() == "else") {
      ++next_;
      parsed.otherwise = until({"endfor"});
    }
    block.push_back({std::move(parsed)});
  }

  void add_set(ExprParser& tag, Block& block) {
    Set parsed{.name = tag.name(), .attribute = {}, .value = nullptr, .body = {}};
    if (tag.takes_sign(".")) parsed.attribute = tag.name();
    if (tag.takes_sign("=")) {
      parsed.value = tag.whole();
    } else {
      tag.expect_end();
      ++next_;
      parsed.body = until({"endset"});
    }
    block.push_back({std::move(parsed)});
  }

  void add_macro(ExprParser& tag, Block& block) {
    Macro parsed{.name = tag.name(), .parameters = {}, .body = {}};
    tag.expect_sign("(");
    while (!tag.takes_sign(")")) {
      if (!parsed.parameters.empty()) tag.expect_sign(",");
      Argument parameter{tag.name(), nullptr};
      if (tag.takes_sign("=")) parameter.value = tag.expression();
      parsed.parameters.push_back(std::move(parameter));
    }
    tag.expect_end();
    ++next_;
    parsed.body = until({"endmacro"});
    block.push_back({std::move(parsed)});
  }

  const std::vector<Segment>& segments_;
  size_t next_ = 0;
  int depth_ = 0;
};

}  // namespace

Block parse_template(std::string_view source) {
  const std::vector<Segment> segments = split_template(source);
  return BlockParser(segments).run();
}

}  // namespace qsweep::text::jinja
