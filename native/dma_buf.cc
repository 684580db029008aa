#include "dma_buf.h"

Napi::Function DmaBuf::Define(Napi::Env env) {
  return DefineClass(env, kName, {CloseMethod(), InstanceMethod<&DmaBuf::Fd>("fd")});
}

// fd(): number. It stays the DmaBuf's to close.
Napi::Value DmaBuf::Fd(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), Use()->fd()); }
