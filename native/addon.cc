// The native module: a class per kind of file, one method per ioctl. lib/backend/kernel/addon.ts declares the
// same surface.

#include "addon.h"

#include <unistd.h>

#include "descriptor_list.h"
#include "dma_buf.h"
#include "event_file.h"
#include "iommufd_file.h"
#include "pages.h"
#include "unix_socket.h"
#include "vfio_device_file.h"

namespace {

template <typename Object>
void Define(Napi::Env env) {
  Addon::Of(env).constructors[static_cast<size_t>(Object::kClass)] = Napi::Persistent(Object::Define(env));
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new Addon);  // deleted with the environment
  Define<DescriptorList>(env);
  Define<DmaBuf>(env);
  Define<DmaMemory>(env);
  Define<EventFile>(env);
  Define<IommufdFile>(env);
  Define<MappedRegion>(env);
  Define<UnixSocket>(env);
  Define<VfioDeviceFile>(env);

  exports.Set("pageSize", Napi::Number::New(env, static_cast<double>(sysconf(_SC_PAGESIZE))));
  exports.Set("allocMemory", Napi::Function::New<&AllocMemory>(env, "allocMemory"));
  exports.Set("createEventFd", Napi::Function::New<&CreateEventFd>(env, "createEventFd"));
  exports.Set("duplicateDescriptors",
              Napi::Function::New<&DuplicateDescriptors>(env, "duplicateDescriptors"));
  exports.Set("openIommufd", Napi::Function::New<&OpenPath<IommufdFile>>(env, "openIommufd"));
  exports.Set("openIommufdFd", Napi::Function::New<&OpenFd<IommufdFile>>(env, "openIommufdFd"));
  exports.Set("openVfioDeviceFd", Napi::Function::New<&OpenFd<VfioDeviceFile>>(env, "openVfioDeviceFd"));
  exports.Set("openVfioDevice", Napi::Function::New<&OpenPath<VfioDeviceFile>>(env, "openVfioDevice"));
  exports.Set("connectUnixSocket", Napi::Function::New<&ConnectUnixSocket>(env, "connectUnixSocket"));
  exports.Set("listenUnixSocket", Napi::Function::New<&ListenUnixSocket>(env, "listenUnixSocket"));
  return exports;
}

}  // namespace

NODE_API_MODULE(NODE_GYP_MODULE_NAME, Init)
