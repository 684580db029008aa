// The native module: a class per kind of file, one method per ioctl. lib/backend/kernel/addon.ts declares the
// same surface.

#include "addon.h"

#include <unistd.h>

#include "event_file.h"
#include "iommufd_file.h"
#include "pages.h"
#include "unix_socket.h"
#include "vfio_device_file.h"

namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  auto* addon = new Addon;
  env.SetInstanceData(addon);  // deleted with the environment
  addon->dma_memory = Napi::Persistent(DmaMemory::Define(env));
  addon->event_file = Napi::Persistent(EventFile::Define(env));
  addon->mapped_region = Napi::Persistent(MappedRegion::Define(env));
  addon->iommufd_file = Napi::Persistent(IommufdFile::Define(env));
  addon->unix_socket = Napi::Persistent(UnixSocket::Define(env));
  addon->vfio_device_file = Napi::Persistent(VfioDeviceFile::Define(env));

  exports.Set("pageSize", Napi::Number::New(env, static_cast<double>(sysconf(_SC_PAGESIZE))));
  exports.Set("allocMemory", Napi::Function::New<&DmaMemory::Allocate>(env, "allocMemory"));
  exports.Set("createEventFd", Napi::Function::New<&EventFile::CreateEventFd>(env, "createEventFd"));
  exports.Set("openIommufd", Napi::Function::New<&IommufdFile::Open>(env, "openIommufd"));
  exports.Set("openIommufdFd", Napi::Function::New<&IommufdFile::OpenFd>(env, "openIommufdFd"));
  exports.Set("openVfioDeviceFd", Napi::Function::New<&VfioDeviceFile::OpenFd>(env, "openVfioDeviceFd"));
  exports.Set("openVfioDevice", Napi::Function::New<&VfioDeviceFile::Open>(env, "openVfioDevice"));
  exports.Set("connectUnixSocket", Napi::Function::New<&UnixSocket::Connect>(env, "connectUnixSocket"));
  exports.Set("listenUnixSocket", Napi::Function::New<&UnixSocket::Listen>(env, "listenUnixSocket"));
  return exports;
}

}  // namespace

NODE_API_MODULE(NODE_GYP_MODULE_NAME, Init)
