{
  "targets": [
    {
      "target_name": "iommufd",
      "sources": [
        "native/addon.cc",
        "native/arguments.cc",
        "native/descriptor.cc",
        "native/descriptor_list.cc",
        "native/dirty_bitmap.cc",
        "native/dma_buf.cc",
        "native/event_file.cc",
        "native/mapping_order.cc",
        "native/pages.cc",
        "native/pages_buffer.cc",
        "native/registers.cc",
        "native/unix_socket.cc",
        "native/wait.cc",
        "native/iommufd_eventq.cc",
        "native/iommufd_file.cc",
        "native/iommufd_hwpt.cc",
        "native/iommufd_ioas.cc",
        "native/iommufd_ioas_batch.cc",
        "native/iommufd_viommu.cc",
        "native/vfio_device_feature.cc",
        "native/vfio_device_file.cc",
        "native/vfio_device_irq.cc",
        "native/vfio_device_region.cc",
      ],
      "dependencies": ["<!(node -p \"require('node-addon-api').targets\"):node_addon_api_except_all"],
      # A worker thread may end in the middle of a call; then nothing can be thrown any more, and need not be.
      "defines": ["NAPI_VERSION=8", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
      "cflags_cc": ["-std=c++17", "-Wall", "-Wextra"],
      "cflags": ["-fvisibility=hidden"],
    }
  ]
}
