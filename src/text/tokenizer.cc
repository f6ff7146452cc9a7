#include "text/tokenizer.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "io/json.h"
#include "text/mapped_text.h"
#include "text/unicode.h"

namespace qsweep::text {
namespace {

// Positions within a word are 32-bit.
constexpr size_t kMaxTextBytes = size_t{1} << 30;

// What a step of normalization makes of a text that is not empty.
MappedText applied(const NormalizerStep& step, std::string_view text) {
  if (const auto* prepend = std::get_if<Prepend>(&step)) return MappedText::prefixed(text, prepend->text);
  if (const auto* replace = std::get_if<Replace>(&step))
    return MappedText::replaced(text, replace->from, replace->to);
  return MappedText::composed(text);
}

// The finder of the added tokens that are looked for before (or after) normalization. Special tokens come
// first.
AddedTokenFinder finder_of(const TokenizerParts& parts, bool normalized) {
  std::vector<AddedToken> tokens;
  for (const AddedToken& token : parts.added) {
    if (token.normalized != normalized) continue;
    tokens.push_back(token);
    if (normalized)
      for (const NormalizerStep& step : parts.normalizer)
        tokens.back().content = applied(step, tokens.back().content).text();
  }
  std::stable_partition(tokens.begin(), tokens.end(), [](const AddedToken& token) { return token.special; });
  return AddedTokenFinder(std::move(tokens));
}

constexpr std::string_view kMetaspace = "\u2581";

// The byte of a token like <0x0A>.
std::optional<char> fallback_byte(std::string_view token) {
  unsigned byte = 0;
  if (token.size() != 6 || !token.starts_with("<0x") || !token.ends_with('>')) return std::nullopt;
  const auto [end, status] = std::from_chars(token.data() + 3, token.data() + 5, byte, 16);
  if (status != std::errc() || end != token.data() + 5) return std::nullopt;
  return static_cast<char>(byte);
}

// What a token decodes to: its bytes, or its own text where that is not in the byte-level alphabet.
std::string bytes_of(const std::string& token, bool byte_level) {
  if (byte_level) return from_byte_level(token).value_or(token);
  if (const auto byte = fallback_byte(token)) return {*byte};
  return MappedText::replaced(token, kMetaspace, " ").text();
}

// Where `part`, a view into `text`, begins in it.
size_t offset_in(std::string_view text, std::string_view part) {
  return static_cast<size_t>(part.data() - text.data());
}

void shift(std::span<Token> tokens, size_t bytes) {
  for (auto& [id, span] : tokens) span = {span.begin + bytes, span.end + bytes};
}

}  // namespace

Tokenizer::Tokenizer(TokenizerParts parts, const std::string& where)
    : parts_(std::move(parts)),
      raw_added_(finder_of(parts_, false)),
      normalized_added_(finder_of(parts_, true)) {
  decoded_.reserve(parts_.vocab.size() + parts_.added.size());
  for (const auto& [token, id] : parts_.vocab) decoded_[id] = {bytes_of(token, parts_.byte_level), false};
  for (const AddedToken& token : parts_.added)
    decoded_[token.id] = {bytes_of(token.content, parts_.byte_level), token.special};
  for (const auto& [id, token] : decoded_) vocab_size_ = std::max<int64_t>(vocab_size_, int64_t{id} + 1);
  for (const auto* around : {&parts_.prefix, &parts_.suffix})
    for (const int32_t id : *around)
      if (!decoded_.contains(id)) fail("{}: post_processor: id {} is not a token", where, id);
}

Tokenizer Tokenizer::load(const std::string& path) {
  return Tokenizer(parse_tokenizer_json(io::read_json_file(path), path), path);
}

Tokenizer Tokenizer::parse(std::string_view json, const std::string& where) {
  return Tokenizer(parse_tokenizer_json(io::parse_json(json, where), where), where);
}

std::vector<Token> Tokenizer::tokenize(std::string_view text) const {
  check_utf8(text);
  if (text.size() > kMaxTextBytes)
    fail("text of {} bytes is too long; at most {}", text.size(), kMaxTextBytes);
  MatchBudget budget(text.size());
  std::vector<Token> tokens;
  for (const TextPart& raw : raw_added_.split(text)) {
    const size_t begin = offset_in(text, raw.text), first = tokens.size();
    if (raw.id) {
      tokens.push_back({*raw.id, {begin, begin + raw.text.size()}});
    } else {
      normalize(raw.text, begin == 0, budget, tokens);
      shift(std::span(tokens).subspan(first), begin);
    }
  }
  return tokens;
}

void Tokenizer::normalize(std::string_view text, bool first, MatchBudget& budget,
                          std::vector<Token>& tokens) const {
  std::vector<MappedText> texts;
  texts.reserve(parts_.normalizer.size());  // `text` is a view of the last one
  for (const NormalizerStep& step : parts_.normalizer) {
    texts.push_back(applied(step, text));
    text = texts.back().text();
  }
  const size_t begin = tokens.size();
  tokenize_normalized(text, first, budget, tokens);
  for (Token& token : std::span(tokens).subspan(begin))
    for (auto mapped = texts.rbegin(); mapped != texts.rend(); ++mapped)
      token.span = mapped->source_of(token.span);
}

std::vector<int32_t> Tokenizer::encode(std::string_view text) const {
  std::vector<int32_t> ids;
  for (const Token& token : tokenize(text)) ids.push_back(token.id);
  return ids;
}

void Tokenizer::tokenize_normalized(std::string_view text, bool first, MatchBudget& budget,
                                    std::vector<Token>& tokens) const {
  for (const TextPart& part : normalized_added_.split(text)) {
    const size_t begin = offset_in(text, part.text);
    if (part.id) {
      tokens.push_back({*part.id, {begin, begin + part.text.size()}});
    } else {
      tokenize_plain(part.text, begin, first && begin == 0, budget, tokens);
    }
  }
}

void Tokenizer::tokenize_plain(std::string_view text, size_t begin, bool first, MatchBudget& budget,
                               std::vector<Token>& tokens) const {
  std::vector<std::string_view> pieces{text};
  for (const Split& split : parts_.splits) {
    std::vector<std::string_view> finer;
    for (const std::string_view piece : pieces) {
      const auto words = split.split(piece, budget);
      finer.insert(finer.end(), words.begin(), words.end());
    }
    pieces = std::move(finer);
  }
  for (const std::string_view piece : pieces) {
    const size_t offset = offset_in(text, piece);
    if (parts_.metaspace)
      tokenize_metaspace(piece, begin + offset, first && offset == 0, budget, tokens);
    else
      tokenize_piece(piece, begin + offset, budget, tokens);
  }
}

void Tokenizer::tokenize_metaspace(std::string_view piece, size_t begin, bool first, MatchBudget& budget,
                                   std::vector<Token>& tokens) const {
  const auto& [space, prefix, split] = *parts_.metaspace;
  std::vector<MappedText> texts{MappedText::replaced(piece, " ", space)};
  const bool prefixed = prefix == Metaspace::Prefix::always || (prefix == Metaspace::Prefix::first && first);
  if (prefixed && !texts[0].text().starts_with(space))
    texts.push_back(MappedText::prefixed(texts[0].text(), space));
  const std::string_view text = texts.back().text();
  const size_t before = tokens.size();
  for (const std::string_view word : split ? split->split(text, budget) : std::vector{text})
    tokenize_word(word, offset_in(text, word), tokens);
  const auto added = std::span(tokens).subspan(before);
  for (Token& token : added)
    for (auto mapped = texts.rbegin(); mapped != texts.rend(); ++mapped)
      token.span = mapped->source_of(token.span);
  shift(added, begin);
}

// What the ByteLevel pre-tokenizer does to a piece, and the merges of its words.
void Tokenizer::tokenize_piece(std::string_view piece, size_t begin, MatchBudget& budget,
                               std::vector<Token>& tokens) const {
  const bool spaced = parts_.add_prefix_space && !piece.starts_with(' ');
  std::string copy;
  if (spaced) piece = copy.append(1, ' ').append(piece);
  const size_t first = tokens.size();
  if (!parts_.byte_level_split) {
    tokenize_word(piece, 0, tokens);
  } else {
    for (const std::string_view word : parts_.byte_level_split->split(piece, budget))
      tokenize_word(word, offset_in(piece, word), tokens);
  }
  const auto added = std::span(tokens).subspan(first);
  if (spaced)
    for (auto& [id, span] : added)
      span = {std::max<size_t>(span.begin, 1) - 1, std::max<size_t>(span.end, 2) - 1};
  shift(added, begin);
}

void Tokenizer::tokenize_word(std::string_view word, size_t begin, std::vector<Token>& tokens) const {
  if (parts_.ignore_merges) {
    const auto whole = parts_.vocab.find(parts_.byte_level ? to_byte_level(word) : std::string(word));
    if (whole != parts_.vocab.end()) {
      tokens.push_back({whole->second, {begin, begin + word.size()}});
      return;
    }
  }
  parts_.bpe.encode(word, begin, tokens);
}

std::vector<int32_t> Tokenizer::with_template(std::span<const int32_t> ids) const {
  std::vector<int32_t> all = parts_.prefix;
  all.insert(all.end(), ids.begin(), ids.end());
  all.insert(all.end(), parts_.suffix.begin(), parts_.suffix.end());
  return all;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string bytes;
  for (const int32_t id : ids) {
    const auto it = decoded_.find(id);
    if (it == decoded_.end()) fail("token id {} has no token", id);
    if (!skip_special || !it->second.special) bytes += it->second.bytes;
  }
  return utf8_lossy(bytes);
}

std::optional<int32_t> Tokenizer::id_of(std::string_view token) const {
  const std::string key(token);
  if (const auto it = parts_.vocab.find(key); it != parts_.vocab.end()) return it->second;
  const auto added = std::find_if(parts_.added.begin(), parts_.added.end(),
                                  [&](const AddedToken& candidate) { return candidate.content == token; });
  if (added == parts_.added.end()) return std::nullopt;
  return added->id;
}

}  // namespace qsweep::text
