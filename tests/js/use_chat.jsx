// A page with the `useChat` of React on it. Its address says which chat, over what, and whether to come back to it.
import { useChat } from "@ai-sdk/react";
import { DefaultChatTransport, lastAssistantMessageIsCompleteWithToolCalls } from "ai";
import { useEffect } from "react";

import { ChatView, mount } from "./chat_view.jsx";

const asked = new URLSearchParams(location.search);
const id = asked.get("chat");
const transport = new DefaultChatTransport({ api: "/ai-sdk/chat", body: JSON.parse(asked.get("body")) });

mount(function Page() {
  const chat = useChat({
    id,
    transport,
    resume: asked.has("resume"),
    messages: JSON.parse(sessionStorage.getItem(id) ?? "[]"),
    sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithToolCalls,
  });
  // What another page would ask its database for
  useEffect(() => sessionStorage.setItem(id, JSON.stringify(chat.messages)), [chat.messages]);
  return <ChatView {...chat} />;
});
