// The ArrayBuffer on mapped pages, and what it keeps alive.

#include "arguments.h"
#include "pages.h"

namespace {

// The most that an ArrayBuffer can show in Node.js 20 (buffer.constants.MAX_LENGTH). The length is checked
// here, because versions of Node.js treat the finalizer differently if they refuse a length.
constexpr size_t kMaxBufferLength = size_t{1} << 32;

}  // namespace

// The shares of an ArrayBuffer: one belongs to the visible pages, and its finalizer gives this share up.
// Another belongs to the PagesBuffer. All of it happens on the thread of the environment.
//
// Finalizers run when what is shown is gone, but also at the end of an environment: Node.js then takes all
// external ArrayBuffers away from JavaScript, one after the other (CallbackInfo in src/node_buffer.cc). It
// cannot take pages that were moved to another thread, because nobody learns when they are gone. Such pages
// stay as long as the process. After the fact both look the same. So each ArrayBuffer has two sentinels,
// ArrayBuffers that nobody sees, one made before it and one after. Whichever way Node.js goes through its
// list, one of them is told first, when it still shows whether the ArrayBuffer in the middle was moved.
struct PagesBuffer::Hold {
  std::shared_ptr<Pages> pages;
  std::shared_ptr<const AddressRange> range;
  napi_env env;
  napi_ref buffer = nullptr;  // weak as soon as the PagesBuffer has let go of it
  napi_ref sentinels[2] = {};
  bool told = false;           // the environment ends
  bool attached_then = false;  // and the ArrayBuffer had not been moved

  // Null where it was collected.
  napi_value Buffer() const {
    napi_value value = nullptr;
    if (buffer != nullptr) napi_get_reference_value(env, buffer, &value);
    return value;
  }

  // Whether the ArrayBuffer that was handed out is there and has not been moved or detached.
  bool IsAttached() const {
    const napi_value value = Buffer();
    bool detached = true;
    return value != nullptr && napi_is_detached_arraybuffer(env, value, &detached) == napi_ok && !detached;
  }

  static void Finalize(napi_env env, void*, void* hint) noexcept {
    const std::unique_ptr<std::shared_ptr<Hold>> owner(static_cast<std::shared_ptr<Hold>*>(hint));
    Hold& hold = **owner;
    for (napi_ref* reference : {&hold.buffer, &hold.sentinels[0], &hold.sentinels[1]}) {
      if (*reference != nullptr) napi_delete_reference(env, std::exchange(*reference, nullptr));
    }
    if (hold.told && !hold.attached_then && hold.pages) hold.pages->Leave();
    hold.pages.reset();
    hold.range.reset();
  }

  // An ArrayBuffer that is told of the end, and not before: the hold keeps it.
  static napi_ref NewSentinel(napi_env env, const std::shared_ptr<Hold>& hold) {
    static char nothing;
    auto* const share = new std::shared_ptr<Hold>(hold);
    napi_value buffer;
    napi_ref reference;
    NAPI_THROW_IF_FAILED(
        env,
        napi_create_external_arraybuffer(env, &nothing, sizeof(nothing), FinalizeSentinel, share, &buffer),
        nullptr);
    NAPI_THROW_IF_FAILED(env, napi_create_reference(env, buffer, 1, &reference), nullptr);
    return reference;
  }

  static void FinalizeSentinel(napi_env env, void*, void* hint) noexcept {
    const std::unique_ptr<std::shared_ptr<Hold>> owner(static_cast<std::shared_ptr<Hold>*>(hint));
    Hold& hold = **owner;
    if (hold.told || hold.buffer == nullptr) return;
    napi_handle_scope scope;
    if (napi_open_handle_scope(env, &scope) != napi_ok) return;
    hold.told = true;
    hold.attached_then = hold.IsAttached();
    napi_close_handle_scope(env, scope);
  }
};

Napi::ArrayBuffer PagesBuffer::Get(Napi::Env env, const std::shared_ptr<Pages>& pages) {
  if (hold_ && hold_->IsAttached()) return Napi::ArrayBuffer(env, hold_->Buffer());
  LetGo();
  if (pages->length() > kMaxBufferLength) {
    arguments::ThrowOutOfRange(Napi::BigInt::New(env, uint64_t{pages->length()}), "length",
                               "at most 4 GiB to be seen as an ArrayBuffer");
  }
  auto hold = std::make_shared<Hold>();
  hold->env = env;
  hold->sentinels[0] = Hold::NewSentinel(env, hold);
  auto* const share = new std::shared_ptr<Hold>(hold);
  napi_value buffer;
  // Where this fails, nothing says whether the finalizer will be called; the hold is empty until it has
  // succeeded.
  NAPI_THROW_IF_FAILED(env,
                       napi_create_external_arraybuffer(env, pages->address(), pages->length(),
                                                        Hold::Finalize, share, &buffer),
                       Napi::ArrayBuffer());
  hold->pages = pages;
  hold->range = pages->range();
  NAPI_THROW_IF_FAILED(env, napi_create_reference(env, buffer, 1, &hold->buffer), Napi::ArrayBuffer());
  hold->sentinels[1] = Hold::NewSentinel(env, hold);
  // A view of the ArrayBuffer keeps the addresses, if not the pages; so does a running read of a file.
  auto* const range = new std::shared_ptr<const AddressRange>(hold->range);
  napi_add_finalizer(
      env, buffer, range,
      [](napi_env, void* data, void*) { delete static_cast<std::shared_ptr<const AddressRange>*>(data); },
      nullptr, nullptr);
  hold_ = std::move(hold);
  return Napi::ArrayBuffer(env, buffer);
}

void PagesBuffer::Detach() {
  if (hold_ && hold_->IsAttached()) {
    napi_detach_arraybuffer(hold_->env, hold_->Buffer());
    hold_->pages.reset();
  }
  LetGo();
}

// The ArrayBuffer is kept until then, so that it can show whether it was moved when the environment ends. It
// costs nothing: the pages are kept as long anyway.
void PagesBuffer::LetGo() {
  if (hold_ && hold_->buffer != nullptr) napi_reference_unref(hold_->env, hold_->buffer, nullptr);
  hold_.reset();
}
