# Builds one fuzzer: make -f tests/fuzz/fuzzers.mk build/fuzz/TARGET/fuzzer. What a target sees of the house is named
# below, as in tests/CMakeLists.txt; everything is compiled by clang with libFuzzer's counters, ASan and UBSan.
clang := $(shell command -v clang++ || command -v clang++-14)
compile = $(shell command -v ccache) $(clang) -std=c++20 -O1 -g1 -fsanitize=fuzzer-no-link,address,undefined \
  -fno-sanitize-recover=all -I. -isystem build/fuzz/generated -MMD -MP

rooms_url = core curl/request_head
rooms_headers = core curl/request_head
rooms_answer = core curl/answer
rooms_rate_limit = core curl/answer
rooms_event = core wire
rooms_facts = core wire
rooms_verifier = core
rooms_http = core api/http_parser
rooms_api = core ports wire operations api
rooms_schema = core ports jsonschema
rooms_toml = core config
libraries_url = -lcurl
libraries_headers = -lcurl
libraries_answer = -lhttp_parser
libraries_rate_limit = -lhttp_parser
libraries_event = -lprotobuf
libraries_facts = -lprotobuf
libraries_api = -lprotobuf -levent -levent_openssl -levent_pthreads -lssl
libraries_schema = -lre2

generated := $(patsubst schemas/%.proto,build/fuzz/generated/schemas/%.pb.cc,$(wildcard schemas/*.proto))
sources_of = $(foreach room,$(rooms_$(1)),$(if $(wildcard engine/$(room).cc),engine/$(room).cc,$(wildcard engine/$(room)/*.cc)))
wire_of = $(if $(filter wire,$(rooms_$(1))),$(generated:build/fuzz/generated/%.cc=build/fuzz/objects/%.o))
objects_of = $(patsubst %.cc,build/fuzz/objects/%.o,tests/fuzz/broken.cc tests/fuzz/$(1).cc $(call sources_of,$(1))) $(call wire_of,$(1))

.SECONDEXPANSION:
.SECONDARY:
build/fuzz/%/fuzzer: build/fuzz/%/entry.o $$(call objects_of,$$*)
	$(clang) -fsanitize=fuzzer,address,undefined $^ -lcrypto $(libraries_$*) -o $@
build/fuzz/%/entry.o: tests/fuzz/libfuzzer/entry.cc
	@mkdir -p $(@D)
	$(compile) -DPOSTRIDER_TARGET=$* -c $< -o $@
build/fuzz/objects/schemas/%.o: build/fuzz/generated/schemas/%.cc
	@mkdir -p $(@D)
	$(compile) -w -c $< -o $@
build/fuzz/objects/%.o: %.cc | $(generated)
	@mkdir -p $(@D)
	$(compile) -c $< -o $@
build/fuzz/generated/schemas/%.pb.cc: schemas/%.proto
	@mkdir -p $(@D)
	protoc --proto_path=. --cpp_out=build/fuzz/generated $<
-include $(shell find build/fuzz -name '*.d' 2>/dev/null)
