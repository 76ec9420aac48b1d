"""The chats of the simulated Telegram: who is in them, who may write there, and what was written.

How a message travels: a method in `methods` finds the place (`Chats.place`), `text` judges what is to be written,
`places` judge who may write it, `post` is the message, `box` numbers it, `news` tells everybody who listens. What a
reader is shown is made at that moment by `views`, for a message looks different to each of its readers.

A test makes its chats with `dc.chats`, plays the other people in them, and counts:

    channel = dc.chats.add_channel("news", members={session.account.user_id: Member.editor()})
    group = dc.chats.add_channel("talk", megagroup=True, everyone=Member(), slow_mode=10)
    chat = dc.chats.private(session.account, anna := dc.chats.add_user("anna"))
    dc.lose_answers("messages.sendMessage", times=2)    # executed, never answered
    dc.drop("messages.sendMessage")                     # executed, then RST instead of an answer
    dc.slow("messages.sendMessage", seconds=3)          # executed; for 3 s a repeat is RANDOM_ID_DUPLICATE
    dc.flood("messages.sendMessage", seconds=30)        # FLOOD_WAIT for this method; chat.flood(30) for one chat
    said = dc.chats.say(chat, anna, "hello")            # by somebody else, pushed to who listens; amend, remove
    dc.levers.lose_updates = 1                          # the next push never arrives: a gap
    assert [post.text for post in channel.posts] == ["sent once"]    # all that was ever sent, even if deleted since
"""

from sidecar.simulator.chats.chats import Chats
from sidecar.simulator.chats.places import Channel, Group, Member, Place, Private
from sidecar.simulator.chats.post import Post

__all__ = ["Channel", "Chats", "Group", "Member", "Place", "Post", "Private"]
