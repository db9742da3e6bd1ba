#include "proxy/dns_query.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace exeat::proxy {
namespace {

constexpr int type_a = 1;
constexpr int type_aaaa = 28;
/// Where only half of the answer is known, ask again soon.
constexpr std::chrono::seconds half_ttl{10};

core::ip_address address_from(const ares_addrttl& record) noexcept {
  return core::ip_address::v4(ntohl(record.ipaddr.s_addr));
}

core::ip_address address_from(const ares_addr6ttl& record) noexcept {
  std::array<std::uint8_t, 16> bytes;
  std::memcpy(bytes.data(), &record.ip6addr, bytes.size());
  return core::ip_address::v6(bytes);
}

template <typename Record, typename Parse>
void read_addresses(family_answer& answer, Parse parse, std::span<const unsigned char> message) noexcept {
  // The same address twice is one; of a full array nobody knows what lies beyond it.
  std::array<Record, 2 * max_of_family + 1> records;
  int count = static_cast<int>(records.size());
  const int status = parse(message.data(), static_cast<int>(message.size()), nullptr, records.data(), &count);
  if (status == ARES_ENODATA || (status == ARES_SUCCESS && count <= 0)) {
    answer.outcome = family_outcome::nothing;
    answer.detail = "the name has no address";
    return;
  }
  if (status != ARES_SUCCESS) {
    answer.outcome = family_outcome::failure;
    answer.detail = ares_strerror(status);
    return;
  }
  answer.outcome = family_outcome::addresses;
  answer.ttl = std::chrono::seconds::max();
  for (const auto& record : std::span(records).first(static_cast<std::size_t>(count))) {
    answer.ttl = std::min(answer.ttl, std::chrono::seconds(std::max(record.ttl, 0)));
    const auto address = address_from(record);
    if (std::ranges::find(answer.addresses, address) == answer.addresses.end())
      answer.addresses.push_back(address);
  }
  if (answer.addresses.size() <= max_of_family && static_cast<std::size_t>(count) < records.size()) return;
  answer = {.outcome = family_outcome::too_many, .detail = too_many_addresses};
}

}  // namespace

family_answer read_reply(int type, int status, std::span<const unsigned char> message) noexcept {
  family_answer answer;
  switch (status) {
    case ARES_SUCCESS:
      if (type == type_a)
        read_addresses<ares_addrttl>(answer, ares_parse_a_reply, message);
      else
        read_addresses<ares_addr6ttl>(answer, ares_parse_aaaa_reply, message);
      return answer;
    case ARES_ENOTFOUND:
      answer.outcome = family_outcome::nothing;
      answer.detail = "the name does not exist (NXDOMAIN)";
      return answer;
    case ARES_ENODATA:
      answer.outcome = family_outcome::nothing;
      answer.detail = "the name has no address";
      return answer;
    case ARES_ETIMEOUT:
      answer.outcome = family_outcome::timeout;
      answer.detail = "the name servers do not answer";
      return answer;
    case ARES_ECONNREFUSED:  // what c-ares says of SERVFAIL, NOTIMP and REFUSED by every server, too
      answer.outcome = family_outcome::failure;
      answer.detail = "no name server gives an answer: they refuse, fail (SERVFAIL) or cannot be reached";
      return answer;
    default:
      answer.outcome = family_outcome::failure;
      answer.detail = ares_strerror(status);  // static text
      return answer;
  }
}

dns_answer merge(const family_answer& a, const family_answer& aaaa) noexcept {
  using enum family_outcome;
  dns_answer merged;
  if (a.outcome == too_many || aaaa.outcome == too_many)
    return dns_error(core::reason::dns_failure, too_many_addresses);
  if (a.outcome == addresses || aaaa.outcome == addresses) {
    merged.reason = core::reason::allowed;
    merged.addresses.reserve(a.addresses.size() + aaaa.addresses.size());
    for (const auto* half : {&aaaa, &a})
      merged.addresses.insert(merged.addresses.end(), half->addresses.begin(), half->addresses.end());
    merged.ttl = std::chrono::seconds::max();
    for (const auto* half : {&a, &aaaa})
      merged.ttl = std::min(merged.ttl, half->outcome == addresses ? half->ttl
                                        : half->outcome == nothing ? merged.ttl
                                                                   : half_ttl);
    return merged;
  }
  for (const auto worst : {timeout, open, failure})
    for (const auto* half : {&a, &aaaa})
      if (half->outcome == worst)
        return worst == failure ? dns_error(core::reason::dns_failure, half->detail)
                                : dns_error(core::reason::dns_timeout, "the name servers do not answer");
  return dns_error(core::reason::dns_not_found, a.detail);
}

dns_query::~dns_query() {
  for (auto* slot : slots_)
    if (slot != nullptr) slot->reply = nullptr;
}

void dns_query::start(dns_channel& channel, const core::host_name& name) {
  const std::string text(name.view());
  std::unique_ptr<dns_reply_slot> made[2];
  for (std::size_t i = 0; i < 2; ++i) {
    made[i] = std::make_unique<dns_reply_slot>();
    made[i]->owner = this;
    made[i]->reply = [](void* self, const dns_reply_slot& slot, int status,
                        std::span<const unsigned char> message) noexcept {
      static_cast<dns_query*>(self)->replied(slot, status, message);
    };
    slots_[i] = made[i].get();
  }
  // From the second question on `this` may be gone.
  channel.ask(text.c_str(), type_a, std::move(made[0]));
  channel.ask(text.c_str(), type_aaaa, std::move(made[1]));
}

void dns_query::replied(const dns_reply_slot& slot, int status,
                        std::span<const unsigned char> message) noexcept {
  const std::size_t which = slot.type == type_a ? 0 : 1;
  slots_[which] = nullptr;
  answers_[which] = read_reply(slot.type, status, message);
  if (slots_[1 - which] == nullptr)
    on_.done(owner_, merge(answers_[0], answers_[1]));
  else if (answers_[which].outcome == family_outcome::addresses)
    on_.half(owner_);
}

dns_answer dns_query::so_far() const noexcept {
  return merge(answers_[0], answers_[1]);
}

}  // namespace exeat::proxy
