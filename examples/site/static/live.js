// Shows each new message without a reload.
new EventSource("/events").onmessage = (event) => {
    const line = document.createElement("li");
    line.textContent = event.data;
    document.getElementById("messages").append(line);
};
