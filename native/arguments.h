// Arguments of a call from JavaScript, checked at the door: each function returns the value or throws a
// TypeError (ERR_INVALID_ARG_TYPE) or RangeError (ERR_OUT_OF_RANGE) that names the argument and what was
// passed.

#pragma once

#include <napi.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace arguments {

// The content of a typed array. It is good until JavaScript runs again, which may detach or resize the array:
// so no argument that can have a getter is read after it.
template <typename Element>
struct Span {
  Element* data;
  size_t length;

  Element* begin() const { return data; }
  Element* end() const { return data + length; }
};

uint32_t Uint32(Napi::Value value, const char* name);
uint64_t Uint64(Napi::Value value, const char* name);
int Fd(Napi::Value value, const char* name);
bool Boolean(Napi::Value value, const char* name);
Span<uint64_t> Uint64Array(Napi::Value value, const char* name);
Span<uint8_t> Bytes(Napi::Value value, const char* name);
Span<uint8_t> Buffer(Napi::Value value, const char* name);
off_t Position(Napi::Value value, const char* name);

// A copy of what a Uint8Array holds; a structure of a driver, which is at most a page.
std::vector<uint8_t> CopyBytes(Napi::Value value, const char* name);

// The way back.
Napi::Uint8Array NewBytes(Napi::Env env, const std::vector<uint8_t>& bytes);

std::string Path(Napi::Value value, const char* name);

[[noreturn]] void ThrowInvalidType(Napi::Value value, const char* name, const std::string& expected);
[[noreturn]] void ThrowOutOfRange(Napi::Value value, const char* name, const char* expected);

// "an EventFile", "a DmaMemory".
std::string WithArticle(const char* name);

// JavaScript called the constructor of a class whose objects only the addon makes: a TypeError with code
// ERR_ILLEGAL_CONSTRUCTOR, as for classes of Node.js.
[[noreturn]] void ThrowIllegalConstructor(Napi::Env env, const char* object);

// The object was used after close(): an Error with code ERR_IOMMUFD_CLOSED.
[[noreturn]] void ThrowClosed(Napi::Env env, const char* object);

}  // namespace arguments
