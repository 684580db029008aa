#include "dma_buf.h"

namespace {

const DmaBuf::Method<Fd<DmaBuf>> fd("fd");

}  // namespace
