"""FastChat's own controller and API server over a worker.

argv: the controller's port, the API server's port, then what to do: `serve` starts both and stays;
`ask` speaks to the API server as FastChat's own tests do.
"""

import sys

controller_port, api_port, work = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]

if work == "controller":
    import uvicorn
    from fastchat.serve import controller

    controller.controller = controller.Controller("shortest_queue")
    uvicorn.run(controller.app, host="127.0.0.1", port=controller_port, log_level="warning")

elif work == "api":
    import uvicorn
    from fastchat.serve import openai_api_server

    openai_api_server.app_settings.controller_address = f"http://127.0.0.1:{controller_port}"
    uvicorn.run(openai_api_server.app, host="127.0.0.1", port=api_port, log_level="warning")

else:
    import requests

    api = f"http://127.0.0.1:{api_port}"
    models = requests.get(api + "/v1/models").json()
    assert [model["id"] for model in models["data"]] == ["tiny"], models

    hello = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}], "temperature": 0, "max_tokens": 12}
    whole = requests.post(api + "/v1/chat/completions", json=hello).json()
    direct = requests.post(sys.argv[4] + "/v1/chat/completions", json=hello).json()
    said = whole["choices"][0]["message"]["content"]
    # The same prompt, by the model's own template, though FastChat wrote it.
    assert said == direct["choices"][0]["message"]["content"], (whole, direct)
    assert whole["usage"] == {k: direct["usage"][k] for k in whole["usage"]}, (whole, direct)

    import json

    text = ""
    with requests.post(api + "/v1/chat/completions", json={**hello, "stream": True}, stream=True) as stream:
        for line in stream.iter_lines(decode_unicode=True):
            if line.startswith("data: ") and line != "data: [DONE]":
                chunk = json.loads(line[6:])
                text += chunk["choices"][0]["delta"].get("content") or ""
    assert text == said.replace("\ufffd", ""), (text, said)

    turns = hello["messages"] + [{"role": "assistant", "content": said}, {"role": "user", "content": "More"}]
    for messages in (turns, [{"role": "system", "content": "Be kind."}] + turns):
        asked = {**hello, "messages": messages}
        ours = requests.post(sys.argv[4] + "/v1/chat/completions", json=asked).json()
        theirs = requests.post(api + "/v1/chat/completions", json=asked).json()
        assert theirs["choices"][0]["message"]["content"] == ours["choices"][0]["message"]["content"]

    done = requests.post(api + "/v1/completions", json={"model": "tiny", "prompt": "Once", "temperature": 0, "max_tokens": 5}).json()
    ours = requests.post(sys.argv[4] + "/v1/completions", json={"model": "tiny", "prompt": "Once", "temperature": 0, "max_tokens": 5}).json()
    assert done["choices"][0]["text"] == ours["choices"][0]["text"], done

    long = {**hello, "messages": [{"role": "user", "content": "x" * 4000}]}
    error = requests.post(api + "/v1/chat/completions", json=long).json()
    assert error["code"] == 40303, error

    vectors = requests.post(api + "/v1/embeddings", json={"model": "tiny", "input": "a"}).json()
    assert len(vectors["data"][0]["embedding"]) > 0, vectors
    print("FastChat's controller and API server are content")
