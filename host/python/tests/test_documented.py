"""The product's documented examples, as they stand but for the import line."""


def test_basic_compression(text):
    data = text
    # documented
    from clipsmaster.compression import compress_data, decompress_data

    compressed, metadata = compress_data(data, algorithm="zstd")
    decompressed = decompress_data(compressed, metadata)
    # end
    assert decompressed == data and len(compressed) < len(data) // 3
    assert metadata["algorithm"] == "zstd" and metadata["original_size"] == len(data)
    assert metadata["compressed_size"] == len(compressed)
    compressed, metadata = compress_data(data)
    assert metadata["algorithm"] == "zstd"


def test_policies(text):
    # documented
    from clipsmaster.compression import compress_with_policy, get_resource_policy

    policy = get_resource_policy("subtitle")
    # end
    assert policy["algorithm"] == "lz4" and policy["auto_compress"] is True
    assert get_resource_policy("no such type") == get_resource_policy("default")

    from clipsmaster.compression import get_store

    get_store().insert("clip-17/subtitles", text, "subtitle")
    # documented
    done = compress_with_policy("clip-17/subtitles", "subtitle")
    # end
    assert done["resources"] == 1 and done["original_size"] == len(text) and done["held_bytes"] < len(text) // 2
    assert get_store()["clip-17/subtitles"] == text


def test_chunks(text):
    large_data = text * 40
    # documented
    from clipsmaster.compression import compress_chunked, decompress_chunked

    compressed = compress_chunked(large_data, algorithm="zstd", chunk_size=4 * 1024 * 1024)
    decompressed = decompress_chunked(compressed)
    # end
    assert decompressed == large_data and isinstance(compressed, bytes)


def test_hardware(text):
    data = text
    # documented
    from clipsmaster.compression.hardware_accel import get_best_hardware

    best_hw = get_best_hardware(algorithm="zstd", level=3)
    compressed, metadata = best_hw.compress(data)
    decompressed = best_hw.decompress(compressed, metadata)
    # end
    assert decompressed == data and best_hw.decompress(compressed) == data
    assert metadata["hardware"] == best_hw.hardware


def test_hardware_by_name(text):
    import pytest

    data = text
    # documented
    from clipsmaster.compression.hardware_accel import CPUCompressor, QATCompressor, TorchCUDACompressor

    cpu = CPUCompressor(algo="zstd", level=3)
    compressed, metadata = cpu.compress(data)
    # end
    assert cpu.decompress(compressed, metadata) == data and metadata["hardware"] == "cpu"
    from clipsmaster.compression import CompressionError, CUDACompressor

    assert TorchCUDACompressor is CUDACompressor
    for make in (lambda: TorchCUDACompressor(algorithm="zstd", level=3), QATCompressor):
        try:
            device = make()
        except CompressionError as e:
            assert "unavailable" in str(e)
        else:
            assert device.decompress(*device.compress(data)) == data


def test_benchmark():
    # documented
    from clipsmaster.compression.hardware_accel import benchmark_hardware

    results = benchmark_hardware(data_size=1024 * 1024, iterations=1)
    for hw_type, result in results.items():
        print(f"{hw_type}: {result['compression_speed']:.1f} {result['decompression_speed']:.1f} {result['ratio']:.2f}")
    # end
    assert results["cpu"]["compression_speed"] > 1 and results["cpu"]["ratio"] > 1
    import inspect

    assert str(inspect.signature(benchmark_hardware)) == "(data_size=52428800, iterations=3)"


def test_errors(text):
    data = text
    # documented
    from clipsmaster.compression.error_handling import (
        CompressionError,
        CompressionFormatError,
        DecompressionError,
        IntegrityError,
        MagicHeaderError,
        safe_compress,
        safe_decompress,
    )

    compressed, metadata = safe_compress(data)
    decompressed = safe_decompress(compressed)
    # end
    assert decompressed == data and metadata["original_size"] == len(data)
    assert issubclass(MagicHeaderError, CompressionFormatError) and issubclass(IntegrityError, DecompressionError)
    assert issubclass(CompressionFormatError, CompressionError)
